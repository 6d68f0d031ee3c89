"""CFP's folds, repeated pairs, cohorts and templates in protocols of listed pairs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import Cohort, template_set, verification
from facever.evaluation.protocols.judged import listed
from facever.evaluation.protocols.request import Request

PEOPLE = [f"{number:03d}" for number in range(1, 13)]
FOLDS = 3


@pytest.fixture
def little_cfp(tmp_path, monkeypatch):
    """Twelve people with three frontal and two profile images, as an embedding set with lists."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    rng = np.random.default_rng(0)
    rows, lists = [], {"frontal": [], "profile": []}
    for person in PEOPLE:
        centre = rng.standard_normal(6)
        for view, count in (("frontal", 3), ("profile", 2)):
            for number in range(1, count + 1):
                path = f"Data/Images/{person}/{view}/{number:02d}.jpg"
                lists[view].append(path)
                rows.append((centre + 0.8 * rng.standard_normal(6), person, path, view))
    protocol = tmp_path / "cfp" / "Protocol"
    for name, images in lists.items():
        protocol.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{n} ../{image}\n" for n, image in enumerate(images, 1))
        (protocol / f"Pair_list_{name[0].upper()}.txt").write_text(text)
    expected = []
    for fold in range(FOLDS):
        folder = protocol / "Split" / "FP" / f"{fold + 1:02d}"
        folder.mkdir(parents=True)
        for name, same in (("same", True), ("diff", False)):
            lines = []
            for k in range(4 * fold, 4 * fold + 4):
                other = k if same else 4 * fold + (k + 1) % 4
                left, right = 3 * k + fold, 2 * other + 1
                lines.append(f"{left + 1},{right + 1}\n")
                expected.append((lists["frontal"][left], lists["profile"][right], same, fold))
            (folder / f"{name}.txt").write_text("".join(lines))
    vectors, people, paths, views = zip(*rows, strict=True)
    faces = EmbeddingSet.from_arrays(vectors, people, path=list(paths), view=list(views))
    meta = replace(faces.meta, root=str(tmp_path / "cfp"), dataset="cfp", fingerprint="f")
    return replace(faces, meta=meta), expected


def test_cfps_folds_each_at_the_threshold_of_the_others(little_cfp):
    faces, expected = little_cfp
    result = verification(faces, protocol="cfp-fp", far=[0.25])
    at = {path: row for row, path in enumerate(faces.rows["path"])}
    vectors = faces.vectors.astype(np.float64)
    scores = np.array([float(vectors[at[a]] @ vectors[at[b]]) for a, b, _, _ in expected])
    same, fold = (np.array([row[k] for row in expected]) for k in (2, 3))
    shares = [
        ((scores[fold == k] > result.accuracy.thresholds[k]) == same[fold == k]).mean()
        for k in range(FOLDS)
    ]
    assert result.accuracy.mean == pytest.approx(np.mean(shares))
    for k in range(FOLDS):  # no other threshold is better on the other folds
        others, truth = scores[fold != k], same[fold != k]
        reached = ((others > result.accuracy.thresholds[k]) == truth).mean()
        assert reached == max(((others > t) == truth).mean() for t in [*others, -2.0])
    assert (result.protocol, result.trials.genuine, result.trials.impostor) == ("cfp-fp", 12, 12)
    assert result.warnings == []
    with pytest.raises(EvaluationError, match=r"^the official list Protocol/Split/FF is neither"):
        verification(faces, protocol="cfp-ff")


def test_pairs_that_its_authors_wrote_twice_are_counted_and_said(little_cfp, tmp_path):
    faces, _ = little_cfp
    same = tmp_path / "cfp" / "Protocol" / "Split" / "FP" / "01" / "same.txt"
    same.write_text(same.read_text() + same.read_text().splitlines()[0] + "\n")
    result = verification(faces, protocol="cfp-fp", far=[0.25])
    assert result.trials.genuine == 13
    assert result.warnings == ["1 pairs are in the list of cfp-fp twice; all are counted"]


def test_a_list_of_ones_own_may_not_repeat(little_cfp):
    faces, expected = little_cfp
    frame = pd.DataFrame(expected[:2], columns=["a", "b", "same", "fold"])
    turned = pd.concat([frame, frame.rename(columns={"a": "b", "b": "a"})], ignore_index=True)
    with pytest.raises(EvaluationError, match=r"is in the list twice \(2 such pairs\)$"):
        verification(faces, pairs=PairList(turned))


def test_listed_scores_are_normalised_by_a_cohort(little_cfp):
    faces, expected = little_cfp
    rng = np.random.default_rng(5)
    others = rng.standard_normal((30, 6))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    cohort = Cohort.of(others, [f"stranger {k}" for k in range(30)], top=10)
    scored, _ = listed(Request(faces, "cfp-fp", cohort=cohort))
    at = {path: row for row, path in enumerate(faces.rows["path"])}
    vectors = faces.vectors.astype(np.float64)
    for t, (a, b, _, _) in enumerate(expected):
        score = vectors[at[a]] @ vectors[at[b]]
        parts = []
        for side in (a, b):
            top = np.sort(others.astype(np.float32) @ faces.vectors[at[side]])[-10:].astype(float)
            parts.append((score - top.mean()) / top.std())
        assert scored.scores[t] == pytest.approx(sum(parts) / 2, rel=1e-4)
    result = verification(faces, protocol="cfp-fp", far=[0.25], cohort=cohort)
    assert result.normalisation == str(cohort)
    assert result.accuracy.mean >= 0.5
    known = Cohort.of(others, ["001"] * 30)
    with pytest.raises(EvaluationError, match=r"^the cohort shares 1 people with the trials"):
        verification(faces, protocol="cfp-fp", cohort=known)


def test_wrong_use_is_one_line(little_cfp):
    faces, expected = little_cfp
    frame = pd.DataFrame(expected, columns=["a", "b", "same", "fold"])
    templates = template_set(faces.select(faces.rows["view"] == "frontal"), "identity")
    cases = [
        (
            faces,
            {"protocol": "cfp-fp", "exclude": ["view"]},
            "^the protocol cfp-fp does not support exclude",
        ),
        (
            faces,
            {"protocol": "cfp-fp", "groups": ["view"]},
            "^the protocol cfp-fp does not support groups",
        ),
        (templates, {"similarity": "dot"}, "^templates are unit vectors: compare them by cosine$"),
        (
            templates,
            {"pairs": PairList(frame, "list")},
            r"^list names Data/.*\(and 23 more such temp",
        ),
    ]
    for embeddings, options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            verification(embeddings, **options)
