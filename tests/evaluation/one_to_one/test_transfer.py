"""Realised rates of a threshold on other people."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import template_set, transfer, verification
from facever.evaluation.one_to_one.transfer import realised
from facever.evaluation.scoring.trials import ListedTrials
from facever.operating_point import Interval, OperatingPoint, TrialCounts


def point(threshold, target=0.01, **options):
    counts = TrialCounts(genuine=10, impostor=1000)
    return OperatingPoint(
        threshold=threshold, target_rate=target, achieved_rate=target, trials=counts, **options
    )


def slow(vectors, names, threshold):
    accepts, rejects, impostor, genuine = 0, 0, 0, 0
    for i in range(len(names)):
        for j in range(i):
            above = np.float32(vectors[i].astype(float) @ vectors[j].astype(float)) > threshold
            same = names[i] == names[j]
            accepts += above and not same
            rejects += same and not above
            impostor += not same
            genuine += same
    return accepts, rejects, impostor, genuine


def test_errors_are_counted_as_in_a_loop(make_faces):
    vectors, names = make_faces(90, people=10)
    result = transfer([point(0.3), point(0.8)], vectors, names)
    for found, threshold in zip(result.points, (0.3, 0.8), strict=True):
        accepts, rejects, impostor, genuine = slow(vectors, names, threshold)
        assert (found.false_accepts, found.false_rejects) == (accepts, rejects)
        assert (found.trials.impostor, found.trials.genuine) == (impostor, genuine)
        assert (found.fmr, found.fnmr) == (accepts / impostor, rejects / genuine)
        assert found.fmr_interval.low < found.fmr < found.fmr_interval.high
        assert found.fnmr_interval.low < found.fnmr < found.fnmr_interval.high


def test_its_own_threshold_has_its_own_rates_and_interval(make_faces):
    vectors, names = make_faces(90, people=10)
    measured = verification(vectors, names, far=[0.02])
    own = measured.operating_point(0.02)
    found = transfer([own], vectors, names).points[0]
    assert found.fmr == own.achieved_rate
    assert found.fmr_interval == own.interval
    assert found.fnmr == pytest.approx(1 - measured.at(0.02).tar)


def test_the_threshold_itself_is_rejected(make_faces):
    vectors, names = make_faces(60, people=6)
    pairs = [(i, j) for i in range(60) for j in range(i) if names[i] != names[j]]
    scores = [np.float32(vectors[i].astype(float) @ vectors[j].astype(float)) for i, j in pairs]
    threshold = float(sorted(scores)[-5])
    assert transfer([point(threshold)], vectors, names).points[0].false_accepts == 4


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.001, 0.01, "met"), (0.001, 0.011, "not resolved"), (0.01, 0.02, "not resolved"),
     (0.0101, 0.02, "exceeded")],
)  # fmt: skip
def test_the_verdict_is_what_the_interval_tells(make_faces, low, high, verdict):
    vectors, names = make_faces(60, people=6)
    found = transfer([point(0.5)], vectors, names).points[0]
    interval = Interval(low=low, high=high, method="m")
    assert type(found)(**{**vars(found), "fmr_interval": interval}).verdict == verdict


def test_without_identities_trials_count_as_independent():
    scores = np.linspace(0, 1, 40)
    same = np.arange(40) % 2 == 0
    found = realised(ListedTrials(scores, same), point(0.5))
    assert found.fmr_interval.method == found.fnmr_interval.method == "clopper-pearson"
    assert "too narrow" in found.fmr_interval.note
    assert (found.false_accepts, found.false_rejects) == (10, 10)


def test_failures_exclusions_and_norms_reach_the_trials(make_faces):
    vectors, names = make_faces(60, people=6)
    held = np.arange(60) < 56
    camera = np.arange(60) % 3
    broken = np.where(held[:, None], vectors, np.nan)
    rule = point(0.5)
    columns = {"vectors": broken, "identity": names, "acquired": held, "camera": camera}
    found = transfer(rule, columns, exclude=["camera"])
    columns = {"vectors": vectors[:56], "identity": names[:56], "camera": camera[:56]}
    alone = transfer(rule, columns, exclude=["camera"])
    assert found.points == alone.points
    assert (found.failures.images, found.failures.failed) == (60, 4)
    norms = np.linspace(1, 2, 60)
    by_dot = point(0.5, similarity="dot")
    dot = transfer(by_dot, {"vectors": vectors, "identity": names, "norm": norms})
    scaled = transfer(by_dot, vectors * norms[:, None], names)
    assert dot.points[0].false_accepts == scaled.points[0].false_accepts


def test_the_result_is_json_and_text(make_faces):
    vectors, names = make_faces(60, people=6)
    result = transfer([point(0.8, dataset="elsewhere")], vectors, names)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["operating_points"][0]["verdict"] == result.points[0].verdict
    assert values["operating_points"][0]["operating_point"]["dataset"] == "elsewhere"
    found, text = result.points[0], result.to_text()
    assert found.verdict in text
    assert re.search(r"thresholds of +elsewhere\non +unnamed data\n", text)
    assert found.false_accepts < 30 < found.false_rejects
    assert values["operating_points"][0]["few_false_accepts"]
    assert not values["operating_points"][0]["few_false_rejects"]
    assert f"{found.false_accepts} (few)" in text
    assert "interval of FNMR at 0.8: identity bootstrap" in text


def test_wrong_points_are_one_line(make_faces):
    vectors, names = make_faces(60, people=6)
    gallery = point(0.5, kind="1:N", score_rule="max", gallery_size=10)
    cases = [
        ([], r"^operating points must be of one similarity"),
        ([point(0.1), point(0.1, similarity="dot")], r"not of cosine and dot$"),
        ([gallery], r"^a 1:N operating point sets a FPIR, not a FMR: give a 1:1"),
    ]
    for points, message in cases:
        with pytest.raises(EvaluationError, match=message):
            transfer(points, vectors, names)
    with pytest.raises(EvaluationError, match=r"^no genuine trials"):
        transfer([point(0.1)], vectors, np.arange(60))


def faces(make_faces, name, spread=1.0, seed=0):
    vectors, names = make_faces(120, people=12, spread=spread, seed=seed)
    made = EmbeddingSet.from_arrays(
        vectors,
        [f"{name}-{each}" for each in names],
        fingerprint="f",
        path=[f"{name}/{k}.jpg" for k in range(120)],
        template=[f"{each}-{k % 2}" for k, each in enumerate(names)],
        camera=[k % 2 for k in range(120)],
    )
    return replace(made, meta=replace(made.meta, dataset=name))


@pytest.fixture
def source(make_faces):
    return faces(make_faces, "here")


@pytest.fixture
def target(make_faces):
    return faces(make_faces, "there", spread=0.6, seed=1)


def test_from_set_to_set(source, target):
    found = transfer(source, target, far=[0.1, 0.01, 1e-6], exclude=["camera"])
    measured = verification(source, far=[0.1, 0.01], exclude=["camera"])
    points = [measured.operating_point(far) for far in (0.1, 0.01)]
    alone = transfer(points, target, exclude=["camera"])
    for one, two in zip(found.points, alone.points, strict=True):
        assert one.point.threshold == two.point.threshold
        assert (one.fmr, one.fnmr) == (two.fmr, two.fnmr)
        assert one.fmr_interval == two.fmr_interval
    assert (found.dataset, found.points[0].point.dataset) == ("there", "here")
    impostor = measured.trials.impostor
    assert found.warnings == [
        f"FAR 1e-06 is omitted: it needs 1,000,000 impostor trials, the source has {impostor:,}"
    ]


def test_a_point_on_a_list(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    rows = target.rows
    frame = pd.DataFrame({"a": rows["path"][:60].tolist(), "b": rows["path"][60:].tolist()})
    frame["same"] = rows["identity"][:60].to_numpy() == rows["identity"][60:].to_numpy()
    found = transfer(point, target, pairs=PairList(frame))
    scores = (target.vectors[:60].astype(float) * target.vectors[60:]).sum(axis=1)
    wrong = (scores > point.threshold) & ~frame["same"]
    assert found.points[0].false_accepts == wrong.sum()
    assert (found.protocol, found.trials.impostor) == ("pairs", (~frame["same"]).sum())
    assert found.warnings == []


def test_what_is_shared_and_unknown_is_said(source, target):
    found = transfer(source, source, far=[0.1])
    assert found.warnings == [
        f"{len(set(source.identities))} people are in both sets, first here-p000: the thresholds "
        "were chosen on them too"
    ]
    assert found.points[0].fmr == found.points[0].point.achieved_rate
    point = found.points[0].point.model_copy(update={"fingerprint": None})
    unknown = transfer(point, target)
    assert unknown.warnings == [
        "the operating point has no fingerprint: check that it is of this model"
    ]
    known = replace(
        target, trained_on=pd.DataFrame({"identity": [target.identities[0]], "dataset": ["x"]})
    )
    assert "the model was trained on 1 of" in transfer(source, known, far=[0.1]).warnings[0]


def test_templates_have_thresholds_of_their_own(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    with pytest.raises(
        EvaluationError, match=r"^the operating point has kind 1:1-image, the embeddings have kind "
    ):
        transfer(point, template_set(target))
    found = transfer(template_set(source), template_set(target), far=[0.1])
    assert found.points[0].point.kind == "1:1-template"


def test_another_model_is_refused(source, target):
    other = replace(target, meta=replace(target.meta, fingerprint="g"))
    with pytest.raises(
        EvaluationError,
        match=r"^the operating point has fingerprint f, the embeddings have g: use ",
    ):
        transfer(source, other, far=[0.1])
    with pytest.raises(EvaluationError, match=r"^no threshold to transfer: FAR 1e-07 is omitted"):
        transfer(source, target, far=[1e-7])


def test_a_point_of_the_same_data_is_warned_of(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    assert point.dataset == "here"
    assert transfer(point, source).warnings == [
        "the operating point was set on here too: rates on the people that a threshold was "
        "chosen on are too optimistic"
    ]
    assert transfer(point, target).warnings == []
    nameless = point.model_copy(update={"dataset": ""})
    unnamed = replace(source, meta=replace(source.meta, dataset=""))
    assert transfer(nameless, unnamed).warnings == []
