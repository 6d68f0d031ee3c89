import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from facever.errors import EvaluationError
from facever.evaluate import verification
from facever.evaluation.scoring import streaming


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(150, people=20)
    rng = np.random.default_rng(0)
    camera = rng.choice(["a", "b", "c"], size=150).astype(object)
    camera[[4, 9, 100, 120]] = None
    return vectors, names, camera


@pytest.mark.parametrize("whole", [True, False])
def test_rates_within_and_across_groups_are_those_of_a_loop(faces, monkeypatch, whole):
    if not whole:
        monkeypatch.setattr(streaming, "WHOLE", 0)
    vectors, names, camera = faces
    result = verification(
        {"vectors": vectors, "identity": names, "camera": camera},
        far=[0.1, 0.02],
        groups=["camera"],
    )
    threshold = result.at(0.02).threshold
    scores = (vectors.astype(float) @ vectors.T.astype(float)).astype(np.float32)
    counts = {}
    for i, j in combinations(range(150), 2):
        if camera[i] is None or camera[j] is None:
            continue
        cell = counts.setdefault(tuple(sorted((camera[i], camera[j]))), [0, 0, 0, 0])
        if names[i] == names[j]:
            cell[2] += 1
            cell[3] += scores[i, j] <= threshold
        else:
            cell[0] += 1
            cell[1] += scores[i, j] > threshold
    found = result.groups["camera"]
    assert [(rate.first, rate.second) for rate in found] == sorted(counts)
    for rate in found:
        got = [rate.impostor, rate.false_accepts, rate.genuine, rate.false_rejects]
        assert got == counts[rate.first, rate.second]
        values = rate.to_dict()
        assert rate.fmr_interval.low <= values["fmr"] <= rate.fmr_interval.high
        assert rate.fnmr_interval.low <= values["fnmr"] <= rate.fnmr_interval.high


@pytest.mark.parametrize("kept", [streaming.MOST_KEPT, 100])
def test_rates_of_two_sets_are_by_the_group_of_each_side(faces, monkeypatch, kept):
    monkeypatch.setattr(streaming, "MOST_KEPT", kept)  # or more genuine trials than are kept
    monkeypatch.setattr(streaming, "_LOWEST", 10)
    vectors, names, camera = faces
    half, rest = slice(70), slice(70, None)
    table = {"vectors": vectors, "identity": names, "camera": camera}
    sides = [{name: values[part] for name, values in table.items()} for part in (half, rest)]
    result = verification(sides[0], far=[0.05], groups=["camera"], against=sides[1])
    threshold = result.at(0.05).threshold
    scores = (vectors[half].astype(float) @ vectors[rest].T.astype(float)).astype(np.float32)
    assert len(result.groups["camera"]) == 9
    for rate in result.groups["camera"]:
        here = (camera[half, None] == rate.first) & (camera[None, rest] == rate.second)
        same = here & (names[half, None] == names[None, rest])
        other = here & ~same
        assert (rate.impostor, rate.genuine) == (other.sum(), same.sum())
        assert rate.false_accepts == (scores[other] > threshold).sum()
        assert rate.false_rejects == (scores[same] <= threshold).sum()


def test_the_shared_threshold_is_that_of_the_far_asked_for(faces):
    vectors, names, camera = faces
    table = {"vectors": vectors, "identity": names, "camera": camera}
    smallest = verification(table, far=[0.1, 0.02], groups=["camera"])
    assert smallest.groups_at == smallest.at(0.02)
    chosen = verification(table, far=[0.1, 0.02], groups=["camera"], group_far=0.05)
    assert [point.far_target for point in chosen.operating_points] == [0.1, 0.05, 0.02]
    assert chosen.groups == verification(table, far=[0.05], groups=["camera"]).groups
    assert chosen.groups != smallest.groups
    at = chosen.to_dict()["groups_at"]
    assert at == {"far_target": 0.05, "threshold": chosen.at(0.05).threshold}
    assert "By camera, at the threshold of FAR 5e-2 (" in chosen.to_text()
    assert verification(vectors, names, far=[0.05]).to_dict()["groups_at"] is None
    with pytest.raises(
        EvaluationError, match=r"^a FAR of 1e-09 needs 1,000,000,000 impostor trials"
    ):
        verification(table, far=[0.05], groups=["camera"], group_far=1e-9)


def test_few_errors_of_a_group_are_flagged(faces):
    vectors, names, camera = faces
    result = verification(
        {"vectors": vectors, "identity": names, "camera": camera}, far=[0.02], groups=["camera"]
    )
    few = [rate for rate in result.groups["camera"] if rate.false_accepts < 30]
    assert 0 < len(few) < len(result.groups["camera"])
    values = result.to_dict()["groups"]["camera"]
    assert [v["few_false_accepts"] for v in values] == [v["false_accepts"] < 30 for v in values]
    assert [v["few_false_rejects"] for v in values] == [v["false_rejects"] < 30 for v in values]
    assert " (few)" in result.to_text()


def test_one_group_of_everyone_is_the_whole(faces):
    vectors, names, _ = faces
    result = verification(
        {"vectors": vectors, "identity": names, "all": ["x"] * 150}, far=[0.02], groups=["all"]
    )
    (rate,), point = result.groups["all"], result.at(0.02)
    assert (rate.impostor, rate.false_accepts) == (result.trials.impostor, point.false_accepts)
    assert rate.false_rejects == result.trials.genuine - point.true_accepts
    assert rate.fmr_interval == point.far_interval


def test_a_genuine_score_that_ties_with_the_refused_one_is_rejected():
    e = np.eye(4)
    rows = [e[0], 0.6 * e[0] + 0.8 * e[1], e[3], e[3]]
    rows += [0.6 * e[0] + 0.8 * e[2], 0.6 * e[0] - 0.8 * e[2]]  # as like the first as its second
    result = verification(
        {"vectors": rows, "identity": list("aabbcd"), "all": ["x"] * 6}, far=[0.1], groups=["all"]
    )
    (rate,), point = result.groups["all"], result.at(0.1)
    assert (point.threshold, point.false_rejects) == (pytest.approx(0.8), 1)
    assert (rate.false_rejects, rate.false_accepts) == (1, 0)


def test_a_group_without_genuine_trials_says_so(make_faces):
    vectors, names = make_faces(60, people=6)
    sex = np.where(names == "p001", "f", "m")
    sex[np.flatnonzero(names == "p001")[1:]] = "m"
    result = verification(
        {"vectors": vectors, "identity": names, "sex": sex}, far=[0.05], groups=["sex"]
    )
    within = next(rate for rate in result.groups["sex"] if rate.first == rate.second == "f")
    assert (within.genuine, within.impostor) == (0, 0)
    assert within.to_dict()["fmr"] is None
    assert "no trials" in result.to_text()
    json.dumps(result.to_dict(), allow_nan=False)


def test_bad_groups_are_one_clear_line(faces):
    vectors, names, camera = faces
    table = {"vectors": vectors, "identity": names, "camera": camera, "row": np.arange(150)}
    table["sex"] = pd.Series([None] * 150)
    cases = [
        ({"groups": ["sex"]}, "column 'sex' has no value in any row"),
        ({"groups": ["row"]}, "column 'row' has 150 values: use a column with at most 30"),
        ({"groups": ["camera"], "against": (vectors, names)}, "unknown column 'camera'"),
        ({"groups": ["camera"], "far": [1e-9]}, "groups need a FAR that the trials"),
        ({"groups": ["cam"]}, "unknown column 'cam'"),
        (
            {"groups": ["camera"], "protocol": "lfw-view2"},
            "protocol lfw-view2 does not support groups",
        ),
    ]
    for options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            verification(table, **options)
