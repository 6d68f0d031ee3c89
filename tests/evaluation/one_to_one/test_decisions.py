from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.readers import lfw
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import verification
from facever.evaluation.inputs import rows_where
from facever.evaluation.one_to_one.accuracy import best_threshold
from facever.evaluation.scoring.trials import ListedTrials


def trained(faces, people):
    table = pd.DataFrame({"identity": list(people), "dataset": "lfw"})
    return replace(faces, trained_on=table)


def with_meta(faces, **changes):
    return replace(faces, meta=replace(faces.meta, **changes))


@pytest.fixture
def little_lfw(tmp_path, monkeypatch):
    """Twelve people in the layout of LFW, with every list, as an embedding set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    rng = np.random.default_rng(0)
    people = [f"P{letter}" for letter in "ABCDEFGHIJKL"]
    subset = dict(zip(people, ["train"] * 4 + ["held_out"] * 4 + ["test"] * 4, strict=True))
    names, paths, vectors = [], [], []
    for name in people:
        centre = rng.standard_normal(6)
        for number in range(1, 9):
            names.append(name)
            paths.append(f"images/{name}/{name}_{number:04d}.jpg")
            vectors.append(centre + rng.standard_normal(6))
    protocol = tmp_path / "lfw" / "protocol"
    protocol.mkdir(parents=True)
    write_list(protocol / "pairsDevTrain.txt", people[:4], 1, 6, rng)
    write_list(protocol / "pairsDevTest.txt", people[8:], 1, 6, rng)
    write_list(protocol / "pairs.txt", people, 3, 4, rng)
    faces = EmbeddingSet.from_arrays(
        vectors, names, path=paths, subset=[subset[name] for name in names]
    )
    return with_meta(faces, root=str(tmp_path / "lfw"), dataset="lfw", fingerprint="f")


def write_list(path, people, folds, each, rng):
    taken, lines = set(), []
    for fold in range(folds):
        for same in (True, False):
            count = 0
            while count < each:
                a, b = rng.choice(people, 2, replace=False)
                i, j = sorted(rng.choice(np.arange(1, 9), 2, replace=False))
                key = (a, i, j) if same else (*sorted((a, b)), i, j)
                if key in taken:
                    continue
                taken.add(key)
                lines.append(f"{a}\t{i}\t{j}" if same else f"{a}\t{i}\t{b}\t{j}")
                count += 1
        assert fold < folds
    head = f"{folds}\t{each}" if folds > 1 else str(each)
    path.write_text("\n".join([head, *lines]) + "\n")


def scores_of(faces, path):
    rows = {p: i for i, p in enumerate(faces.rows.path)}
    scores, same = [], []
    for line in path.read_text().splitlines()[1:]:
        words = line.split()
        a, b = words[0], words[0] if len(words) == 3 else words[2]
        i, j = (
            rows[f"images/{n}/{n}_{int(k):04d}.jpg"] for n, k in ((a, words[1]), (b, words[-1]))
        )
        scores.append(float(faces.vectors[i].astype(float) @ faces.vectors[j]))
        same.append(a == b)
    return np.array(scores, np.float32), np.array(same)


def test_all_pairs_of_an_embedding_set_is_the_array_function(little_lfw):
    result = verification(little_lfw, far=[0.01])
    alone = verification(little_lfw.vectors, little_lfw.identities, far=[0.01])
    assert result.at(0.01) == alone.at(0.01)
    assert (result.protocol, result.dataset, result.fingerprint) == ("all-pairs", "lfw", "f")
    assert result.to_dict()["overlap"]["known"] is False
    assert result.warnings == []


def test_overlap_of_all_pairs_is_named_with_its_share_of_the_trials(little_lfw):
    result = verification(trained(little_lfw, ["PA", "PB", "Nobody"]), far=[0.01])
    overlap = result.to_dict()["overlap"]
    assert (overlap["identities"], overlap["of"], overlap["first"]) == (2, 12, ["PA", "PB"])
    n, clean = 96, 80
    assert overlap["trials_share"] == pytest.approx(1 - (clean * (clean - 1)) / (n * (n - 1)))
    assert "trained on 2 of the 12 people (PA, PB; from lfw)" in result.warnings[0]


def test_view2_has_folds_and_refuses_a_model_that_knows_its_people(little_lfw):
    result = verification(little_lfw, protocol="lfw-view2", far=[0.1])
    assert (result.trials.genuine, result.trials.impostor) == (12, 12)
    assert len(result.accuracy.thresholds) == 3
    assert result.accuracy.standard_error > 0
    known = trained(little_lfw, ["PA"])
    with pytest.raises(EvaluationError, match=r"lfw-view2 is refused: the model was trained on 1"):
        verification(known, protocol="lfw-view2")
    allowed = verification(known, protocol="lfw-view2", far=[0.1], allow_overlap=True)
    assert allowed.accuracy == result.accuracy
    assert allowed.overlap.identities == ["PA"]
    lines = (Path(known.root) / "protocol" / "pairs.txt").read_text().splitlines()[1:]
    touched = sum("PA" in line.split() for line in lines)
    assert allowed.overlap.trials_share == pytest.approx(touched / 24)
    assert allowed.warnings


def test_view1_takes_its_threshold_from_the_official_development_pairs(little_lfw, tmp_path):
    result = verification(trained(little_lfw, ["Somebody else"]), protocol="lfw-view1", far=[0.2])
    lists = tmp_path / "lfw" / "protocol"
    threshold = best_threshold(ListedTrials(*scores_of(little_lfw, lists / "pairsDevTrain.txt")))
    scores, same = scores_of(little_lfw, lists / "pairsDevTest.txt")
    assert result.accuracy.thresholds == [pytest.approx(threshold, abs=1e-6)]
    assert result.accuracy.mean == ((scores > threshold) == same).mean()
    assert result.accuracy.method.startswith("threshold chosen on pairsDevTrain;")
    assert (result.trials.genuine, result.trials.impostor) == (6, 6)


def test_view1_of_a_model_trained_on_view1_chooses_on_the_people_held_out(little_lfw):
    known = trained(little_lfw, ["PA", "PB", "PC", "PD"])
    result = verification(known, protocol="lfw-view1", far=[0.2])
    rows = known.rows
    chosen = np.flatnonzero((rows.subset == "held_out") & (rows.groupby("identity").cumcount() < 5))
    assert len(chosen) == 20
    i, j = (chosen[side] for side in np.triu_indices(20, 1))
    scores = (known.vectors[i].astype(float) * known.vectors[j]).sum(axis=1).astype(np.float32)
    names = known.identities
    threshold = best_threshold(ListedTrials(scores, names[i] == names[j]))
    assert result.accuracy.thresholds == [pytest.approx(threshold, abs=1e-6)]
    assert "all pairs of 4 people held out of training, at most 5" in result.accuracy.method


def test_view1_never_looks_at_the_test_for_its_threshold(little_lfw):
    names = little_lfw.identities
    test = np.isin(names, ["PI", "PJ", "PK", "PL"])
    turned = little_lfw.vectors.copy()
    turned[test] = turned[test][::-1]
    before = verification(little_lfw, protocol="lfw-view1", far=[0.2])
    after = verification(replace(little_lfw, vectors=turned), protocol="lfw-view1", far=[0.2])
    assert after.accuracy.thresholds == before.accuracy.thresholds
    assert after.accuracy.mean != before.accuracy.mean


def test_view1_refuses_overlap_and_missing_development_trials(little_lfw):
    with pytest.raises(EvaluationError, match="lfw-view1 is refused: the model was trained on 1"):
        verification(trained(little_lfw, ["PI"]), protocol="lfw-view1")
    everyone = trained(little_lfw, ["PA", "PE"])
    with pytest.raises(EvaluationError, match="no development trials to choose View 1's"):
        verification(everyone, protocol="lfw-view1")
    allowed = verification(everyone, protocol="lfw-view1", far=[0.2], allow_overlap=True)
    assert "held out" in allowed.accuracy.method
    only_test = rows_where(little_lfw, ["subset=test"])
    with pytest.raises(EvaluationError, match=r"lacks people of pairsDevTrain.txt, and no row is"):
        verification(only_test, protocol="lfw-view1")


def test_a_pair_list_with_folds_gives_accuracy_and_without_none(little_lfw, tmp_path):
    rows = little_lfw.rows
    pairs = [(0, 1), (8, 9), (0, 8), (1, 9), (16, 17), (16, 24), (32, 33), (32, 40)]
    frame = pd.DataFrame(
        {
            "a": [rows.path[i] for i, _ in pairs],
            "b": [rows.path[j] for _, j in pairs],
            "same": [int(rows.identity[i] == rows.identity[j]) for i, j in pairs],
        }
    )
    frame.to_csv(tmp_path / "list.csv", index=False)
    plain = verification(little_lfw, pairs=tmp_path / "list.csv", far=[0.25])
    assert (plain.protocol, plain.accuracy) == ("pairs", None)
    assert (plain.trials.genuine, plain.trials.impostor) == (4, 4)
    frame.assign(fold=[0, 0, 0, 0, 1, 1, 1, 1]).to_csv(tmp_path / "folds.csv", index=False)
    folded = verification(little_lfw, pairs=tmp_path / "folds.csv", far=[0.25])
    assert len(folded.accuracy.thresholds) == 2


def test_another_similarity_than_the_models_own_is_warned_of(little_lfw):
    result = verification(little_lfw, similarity="dot", far=[0.01])
    assert result.warnings == ["scores are dot, but the model was trained to be compared by cosine"]
    own = verification(with_meta(little_lfw, metric="euclidean"), far=[0.01])
    assert (own.similarity, own.warnings) == ("euclidean", [])
    norms = little_lfw.rows["norm"].to_numpy()
    raw = verification(
        little_lfw.vectors * norms[:, None], little_lfw.identities, far=[0.01], similarity="dot"
    )
    assert result.at(0.01) == raw.at(0.01)


def test_wrong_use_is_one_clear_line(little_lfw, tmp_path):
    cases = [
        ({"protocol": "lfw-view3"}, r"unknown protocol 'lfw-view3'; did you mean 'lfw-view2'"),
        ({"protocol": "pairs"}, "the protocol pairs needs a pair list"),
        ({"protocol": "all-pairs", "pairs": tmp_path}, "all-pairs has no pair list"),
        ({"similarity": "l2"}, "unknown similarity 'l2'"),
        ({"exclude": ["cam"]}, "unknown column 'cam'"),
    ]
    for options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            verification(little_lfw, **options)
    lost = with_meta(little_lfw, root=str(tmp_path / "elsewhere"))
    with pytest.raises(
        EvaluationError, match=r"^the official list protocol/pairs\.txt is neither next to"
    ):
        verification(lost, protocol="lfw-view2")


def test_rows_are_chosen_by_conditions(little_lfw):
    assert set(rows_where(little_lfw, ["subset=test", "identity=PI"]).identities) == {"PI"}
    for condition, message in (
        ("subset", "not a condition of the form column=value"),
        ("sub=test", "unknown column 'sub'"),
        ("subset=tests", "unknown subset in the rows 'tests'; did you mean 'test'"),
    ):
        with pytest.raises(EvaluationError, match=message):
            rows_where(little_lfw, [condition])


def test_the_official_lists_of_lfw(real_data):
    manifest = lfw.read(real_data / "lfw")
    frame = manifest.frame
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((len(manifest.identities), 16))
    vectors = centres[manifest.labels()] + rng.standard_normal((len(frame), 16))
    made = EmbeddingSet.from_arrays(
        vectors, frame.identity, path=frame.path.tolist(), subset=frame.subset.tolist()
    )
    meta = EmbeddingMeta("f", 16, dataset="lfw", root=str(manifest.root))
    train = frame.identity[frame.subset == "train"].unique()
    faces = trained(replace(made, meta=meta), train)
    one = verification(faces, protocol="lfw-view1", far=[1e-2])
    assert (one.trials.genuine, one.trials.impostor) == (500, 500)
    assert not one.overlap
    assert "all pairs of 504 people held out" in one.accuracy.method
    two = verification(faces, protocol="lfw-view2", far=[1e-2], allow_overlap=True)
    assert (two.trials.genuine, two.trials.impostor) == (3000, 3000)
    assert len(two.accuracy.thresholds) == 10
    assert two.overlap


def test_a_camera_column_of_numbers_and_one_of_text_exclude_each_other(faces):
    rows = faces.rows.drop(columns="path")
    codes = rows["camera"].to_numpy() + 1
    one, two = np.arange(len(faces)) < 80, np.arange(len(faces)) >= 80
    first, second = (replace(faces, rows=rows).select(part) for part in (one, two))
    text = [str(code) for code in codes[two]]
    text[0] = "entrance"
    i, j = np.meshgrid(np.flatnonzero(one), np.flatnonzero(two), indexing="ij")
    same = faces.identities[i] == faces.identities[j]
    kept = codes[i] != codes[j]
    kept[:, 0] = True
    for column in (codes[one], codes[one].astype(float), codes[one].astype(str)):
        sides = (
            replace(first, rows=first.rows.assign(camera=column)),
            replace(second, rows=second.rows.assign(camera=text)),
        )
        found = verification(sides[0], against=sides[1], exclude=["camera"], far=[0.1])
        assert found.trials.genuine == (same & kept).sum() < same.sum()
        assert found.trials.impostor == (~same & kept).sum()
