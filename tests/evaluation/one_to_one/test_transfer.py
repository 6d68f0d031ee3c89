"""Realised rates of a threshold on other people."""

import json
import re

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import transfer, verification
from facever.evaluation.one_to_one.transfer import realised
from facever.evaluation.operating_point import Interval, OperatingPoint, TrialCounts
from facever.evaluation.scoring.trials import ListedTrials


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
        ([], r"^operating points of one similarity are needed, not of no similarity$"),
        ([point(0.1), point(0.1, similarity="dot")], r"needed, not of cosine and dot$"),
        ([gallery], r"^a 1:N operating point holds an FPIR in its gallery, not an FMR: give a 1:1"),
    ]
    for points, message in cases:
        with pytest.raises(EvaluationError, match=message):
            transfer(points, vectors, names)
    with pytest.raises(EvaluationError, match=r"^no genuine trials"):
        transfer([point(0.1)], vectors, np.arange(60))
