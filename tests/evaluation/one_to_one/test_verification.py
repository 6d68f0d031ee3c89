import json

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from facever.errors import EvaluationError
from facever.evaluation import OperatingPoint, verification


def all_scores(vectors, names):
    i, j = np.triu_indices(len(vectors), 1)
    scores = (vectors[i].astype(float) * vectors[j]).sum(axis=1).astype(np.float32)
    return scores, names[i] == names[j]


def test_tar_at_far_is_scikit_learns_under_the_not_above_target_rule(make_faces):
    vectors, names = make_faces(150, people=15)
    scores, same = all_scores(vectors, names)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    result = verification(vectors, names, far=[0.1, 0.01, 0.001])
    assert [point.far_target for point in result.operating_points] == [0.1, 0.01, 0.001]
    for point in result.operating_points:
        assert point.far <= point.far_target
        assert point.tar == pytest.approx(tpr[fpr <= point.far_target].max(), abs=1e-12)
        assert point.false_accepts == (scores[~same] > point.threshold).sum()
        assert point.true_accepts == (scores[same] > point.threshold).sum()
        assert point.threshold in scores[~same]


def test_ties_lower_the_far_and_never_raise_it():
    # four impostor scores are equal: a budget of one accepts none of them
    eye = np.eye(4)
    vectors = np.concatenate([eye, eye])
    result = verification(vectors, list("abcdabcd"), far=[0.05])
    assert result.trials.impostor == 24
    assert (result.at(0.05).false_accepts, result.at(0.05).threshold) == (0, 0.0)
    assert result.at(0.05).tar == 1


def test_a_far_that_the_trials_cannot_support_is_refused_with_what_would(make_faces):
    vectors, names = make_faces(40)
    result = verification(vectors, names, far=[0.01, 1e-6])
    assert [point.far_target for point in result.operating_points] == [0.01]
    assert result.to_dict()["refused"] == [{"far_target": 1e-6, "needs": 1_000_000}]
    assert "FAR 1e-06 is refused: it needs 1,000,000 impostor trials" in result.to_text()
    with pytest.raises(EvaluationError, match="FAR of 1e-06 needs 1000000 impostor trials"):
        result.operating_point(1e-6)
    with pytest.raises(EvaluationError, match=r"FAR 0\.5 was not measured"):
        result.at(0.5)


def test_the_json_has_the_keys_that_were_promised(make_faces):
    vectors, names = make_faces(60)
    values = json.loads(json.dumps(verification(vectors, names, far=[0.01]).to_dict()))
    promised = {"protocol", "trials", "auc", "eer", "eer_hull", "accuracy"}
    assert promised | {"operating_points", "refused", "overlap"} <= set(values)
    assert set(values["trials"]) == {"genuine", "impostor"}
    point = values["operating_points"][0]
    assert {"far_target", "far", "tar", "threshold", "false_accepts", "interval"} <= set(point)
    assert {"low", "high", "level", "method"} <= set(point["interval"])
    assert point["interval"]["low"] <= point["tar"] <= point["interval"]["high"]
    assert point["far_interval"]["low"] <= point["far"] <= point["far_interval"]["high"]
    assert values["accuracy"] is None
    assert point["interval"]["method"] == "identity bootstrap"
    assert point["far_interval"]["method"] == "dyadic logit"
    assert values["auc_interval"]["low"] < values["auc"] < values["auc_interval"]["high"]


def test_the_worst_trials_are_listed_by_row(make_faces):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.1])
    scores, same = all_scores(vectors, names)
    found = [score for *_, score in result.worst_impostors]
    assert found == sorted(scores[~same].tolist(), reverse=True)[:50]
    assert [s for *_, s in result.worst_genuine] == sorted(scores[same].tolist())[:50]
    for listed, is_same in ((result.worst_impostors, False), (result.worst_genuine, True)):
        for i, j, score in listed:
            assert (names[i] == names[j]) == is_same
            assert score == pytest.approx(float(vectors[i] @ vectors[j]), abs=1e-6)


def test_failures_to_acquire_leave_the_trials_and_are_counted(make_faces):
    vectors, names = make_faces(50, people=6)
    held = np.ones(50, bool)
    held[[3, 17, 31]] = False
    broken = vectors.copy()
    broken[~held] = np.nan
    result = verification(broken, names, far=[0.05], acquired=held)
    alone = verification(vectors[held], names[held], far=[0.05])
    assert result.at(0.05).threshold == alone.at(0.05).threshold
    assert result.trials == alone.trials
    whole = verification(vectors, names, far=[0.05]).trials
    failures = result.to_dict()["failure_to_acquire"]
    assert (failures["images"], failures["failed"]) == (50, 3)
    assert failures["genuine_trials"] == whole.genuine - alone.trials.genuine
    assert failures["impostor_trials"] == whole.impostor - alone.trials.impostor
    with_failures = result.to_dict()["operating_points"][0]["with_failures"]
    assert with_failures["tar"] == result.at(0.05).true_accepts / whole.genuine
    assert with_failures["far"] == result.at(0.05).false_accepts / whole.impostor
    for i, j, _ in result.worst_impostors:
        assert held[i]
        assert held[j]


def test_excluded_columns_leave_pairs_out(make_faces):
    vectors, names = make_faces(50, people=6)
    camera = np.arange(50) % 3
    result = verification(vectors, names, far=[0.05], exclude={"camera": camera})
    i, j = np.triu_indices(50, 1)
    kept = camera[i] != camera[j]
    same = names[i] == names[j]
    assert result.trials.genuine == (kept & same).sum()
    assert result.trials.impostor == (kept & ~same).sum()
    scores = all_scores(vectors, names)[0]
    ranked = np.sort(scores[kept & ~same])[::-1]
    assert result.at(0.05).threshold == ranked[int(0.05 * len(ranked))]


def test_an_operating_point_carries_its_provenance(make_faces, tmp_path):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.01])
    result.operating_point(0.01).save(tmp_path / "point.json")
    point = OperatingPoint.load(tmp_path / "point.json")
    assert point.kind == "1:1-image"
    assert point.threshold == result.at(0.01).threshold
    assert (point.target_rate, point.achieved_rate) == (0.01, result.at(0.01).far)
    assert point.trials == result.trials
    assert point.interval == result.at(0.01).far_interval


def test_euclidean_of_unit_rows_orders_trials_as_cosine_does(make_faces):
    vectors, names = make_faces(80)
    cosine = verification(vectors, names, far=[0.02])
    euclidean = verification(vectors, names, far=[0.02], similarity="euclidean")
    assert euclidean.at(0.02).tar == cosine.at(0.02).tar
    assert euclidean.at(0.02).threshold == pytest.approx(
        2 * cosine.at(0.02).threshold - 2, abs=1e-5
    )


def test_norms_restore_the_vectors_for_the_dot_product(make_faces):
    vectors, names = make_faces(80)
    norms = np.random.default_rng(0).uniform(0.1, 9, 80).astype(np.float32)
    by_norms = verification(vectors, names, far=[0.02], similarity="dot", norms=norms)
    by_rows = verification(vectors * norms[:, None], names, far=[0.02], similarity="dot")
    assert by_norms.at(0.02) == by_rows.at(0.02)
    assert by_norms.at(0.02).tar != verification(vectors, names, far=[0.02]).at(0.02).tar


def test_bad_input_is_one_clear_line(make_faces):
    vectors, names = make_faces(30)
    cases = [
        ((vectors, ["one"] * 30), {}, "no impostor trials: at least two people"),
        ((vectors, list(range(30))), {}, "no genuine trials: some person needs two images"),
        ((2 * vectors, names), {}, "vector 0 has length 2, not 1"),
        ((vectors, names[:-1]), {}, "29 identities for 30 vectors"),
        ((vectors, [None, *names[1:]]), {}, "identity 0 is missing"),
        ((vectors[0], names), {}, "must be a matrix"),
        ((np.where(np.eye(30, 8) == 1, np.nan, vectors), names), {}, "vector 0 holds NaN"),
        ((vectors, names), {"exclude": {"camera": [1, 2]}}, "2 camera for 30 vectors"),
        ((vectors, names), {"similarity": "l2"}, "unknown similarity 'l2'"),
        ((vectors, names), {"far": [1.5]}, "is not between 0 and 1"),
        ((vectors, names), {"acquired": [False] * 30}, "no genuine trials"),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message) as caught:
            verification(*arrays, **options)
        assert "\n" not in str(caught.value)


def test_evaluation_imports_neither_torch_nor_faiss():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from facever.evaluation import verification; "
        "verification(np.eye(4)[[0, 0, 1, 1]], [0, 0, 1, 1], far=[.25]); "
        "import facever.evaluation.protocols.verification; "
        "print('torch' in sys.modules, 'faiss' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
