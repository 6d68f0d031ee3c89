import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from facever.errors import EvaluationError
from facever.evaluation import verification
from facever.evaluation.protocols.verification import evaluate_verification
from facever.evaluation.scoring import streaming
from facever.vectors.embedding_set import EmbeddingSet


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(150, people=20)
    rng = np.random.default_rng(0)
    camera = rng.choice(["a", "b", "c"], size=150).astype(object)
    camera[[4, 9]] = None
    return vectors, names, camera


@pytest.mark.parametrize("whole", [True, False])
def test_rates_within_and_across_groups_are_those_of_a_loop(faces, monkeypatch, whole):
    if not whole:
        monkeypatch.setattr(streaming, "WHOLE", 0)
    vectors, names, camera = faces
    result = verification(vectors, names, far=[0.1, 0.02], groups={"camera": camera})
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


def test_one_group_of_everyone_is_the_whole(faces):
    vectors, names, _ = faces
    result = verification(vectors, names, far=[0.02], groups={"all": ["x"] * 150})
    (rate,), point = result.groups["all"], result.at(0.02)
    assert (rate.impostor, rate.false_accepts) == (result.trials.impostor, point.false_accepts)
    assert rate.false_rejects == result.trials.genuine - point.true_accepts
    assert rate.fmr_interval == point.far_interval


def test_a_group_without_genuine_trials_says_so(make_faces):
    vectors, names = make_faces(60, people=6)
    sex = np.where(names == "p001", "f", "m")
    sex[np.flatnonzero(names == "p001")[1:]] = "m"
    result = verification(vectors, names, far=[0.05], groups={"sex": sex})
    within = next(rate for rate in result.groups["sex"] if rate.first == rate.second == "f")
    assert (within.genuine, within.impostor) == (0, 0)
    assert within.to_dict()["fmr"] is None
    assert "no trials" in result.to_text()
    json.dumps(result.to_dict(), allow_nan=False)


def test_groups_of_an_embedding_set(faces):
    vectors, names, camera = faces
    table = EmbeddingSet.from_arrays(vectors, names, camera=camera)
    found = evaluate_verification(table, far=[0.02], groups=["camera"])
    alone = verification(table.vectors, names, far=[0.02], groups={"camera": camera})
    assert found.groups == alone.groups
    assert found.to_dict()["groups"]["camera"][0]["groups"] == ["a", "a"]
    assert "by camera, at the threshold of FAR 0.02" in found.to_text()


def test_bad_groups_are_one_clear_line(faces):
    vectors, names, camera = faces
    cases = [
        ({"groups": {"sex": pd.Series([None] * 150)}}, "column 'sex' has no value in any row"),
        ({"groups": {"row": np.arange(150)}}, "column 'row' has 150 values: put them into 30"),
        ({"groups": {"camera": camera[1:]}}, "149 camera for 150 vectors"),
        ({"groups": {"camera": camera}, "far": [1e-9]}, "groups need a FAR that the trials"),
    ]
    for options, message in cases:
        with pytest.raises(EvaluationError, match=message):
            verification(vectors, names, **options)
    table = EmbeddingSet.from_arrays(vectors, names, camera=camera)
    with pytest.raises(EvaluationError, match="unknown column 'cam'"):
        evaluate_verification(table, groups=["cam"])
    with pytest.raises(EvaluationError, match="takes neither columns to exclude nor groups"):
        evaluate_verification(table, protocol="lfw-view2", groups=["camera"])
