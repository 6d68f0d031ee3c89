"""Calibration of embedding sets: what failed is left out, lists take the place of all pairs."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from facever.core.seeding import stream
from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import calibrate, calibrate_scores, template_set, verification
from facever.evaluation.one_to_one.calibration import (
    JudgedTrials,
    calibrate_trials,
    judge,
    reliability,
)
from facever.evaluation.one_to_one.likelihood import cllr, cllr_min, fit


def llr_trials(genuine=3000, impostor=30_000, distance=2.0, seed=0):
    """Two unit Gaussians: the log-likelihood ratio of a score s is distance · (s - distance/2)."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance, 1, genuine), rng.normal(0, 1, impostor)])
    same = np.arange(len(scores)) < genuine
    i = rng.integers(200, size=len(scores))
    j = np.where(same, i, (i + rng.integers(1, 200, size=len(scores))) % 200)
    return distance * (scores - distance / 2), same, (i, j)


@pytest.mark.parametrize("prior", [3000 / 33_000, 0.5, 0.001])
def test_right_probabilities_come_true_at_every_prior(prior):
    llrs, same, people = llr_trials()
    probabilities = expit(llrs + np.log(prior / (1 - prior)))
    bins = reliability(probabilities, same, people, prior)
    assert sum(found.genuine for found in bins) == 3000
    assert sum(found.impostor for found in bins) == 30_000
    held = [one.interval.low <= one.predicted <= one.interval.high for one in bins]
    assert np.mean(held) > 0.8
    wrong = reliability(expit(2 * llrs), same, people, prior)
    assert np.mean([o.interval.low <= o.predicted <= o.interval.high for o in wrong]) < 0.5


def test_bins_are_counted_by_a_loop():
    rng = np.random.default_rng(0)
    probabilities, same = rng.random(60), rng.random(60) < 0.4
    probabilities[3] = 1.0
    people = (np.arange(60) % 7, np.where(same, np.arange(60) % 7, 7 + np.arange(60) % 5))
    prior = 0.2
    found = iter(reliability(probabilities, same, people, prior, bins=5))
    for b in range(5):
        low, high = b / 5, (b + 1) / 5 + (b == 4)
        rows = [t for t in range(60) if low <= probabilities[t] < high]
        weights = [prior / same.sum() if same[t] else (1 - prior) / (~same).sum() for t in rows]
        one = next(found)
        assert (one.genuine, one.impostor) == (same[rows].sum(), (~same[rows]).sum())
        assert one.predicted == pytest.approx(np.average(probabilities[rows], weights=weights))
        assert one.observed == pytest.approx(np.average(same[rows], weights=weights))
        assert one.interval.low <= one.observed <= one.interval.high
    assert next(found, None) is None


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_it_is_fitted_and_judged_on_different_people(make_faces, method):
    vectors, names = make_faces(300, people=40)
    result = calibrate(vectors, names, method=method)
    assert result.people == (20, 20)
    assert 0 < result.cllr_min <= result.cllr < 1
    assert result.calibration.method == method
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    counted = sum(one["genuine"] + one["impostor"] for one in values["reliability"])
    assert counted == sum(values["trials"]["judged"].values())
    other = calibrate(vectors, names, method=method, seed=1)
    assert other.cllr != result.cllr


def test_people_are_counted_where_all_pairs_would_be_too_many(make_faces, monkeypatch):
    vectors, names = make_faces(300, people=40)
    monkeypatch.setattr("facever.evaluation.one_to_one.calibration.WHOLE", 2000)
    result = calibrate(vectors, names)
    assert all(2 <= people < 20 for people in result.people)
    people = np.unique(names)
    stream(0, "calibration").shuffle(people)
    for half, counted, trials in zip(
        (people[:20], people[20:]), result.people, result.trials, strict=True
    ):
        rows = [int((names == name).sum()) for name in half[:counted]]
        pairs = sum(rows) * (sum(rows) - 1) // 2
        assert pairs == trials.genuine + trials.impostor
    assert sum(result.trials[1].model_dump().values()) <= 2000
    assert f"fitted on {result.people[0]} people" in result.to_text()


def test_people_of_either_side_of_a_trial_are_counted():
    who = np.arange(6) % 3
    same = who == 0
    trials = JudgedTrials(np.array([1, 0.5, 0.2, 0.3, 0.1, 0.8]), same, (np.zeros(6, int), who))
    assert judge(trials, trials).people == (3, 3)


def test_the_prior_moves_probabilities_and_nothing_else(make_faces):
    vectors, names = make_faces(300, people=40)
    own, rare = calibrate(vectors, names), calibrate(vectors, names, prior=1e-4)
    judged = own.trials[1]
    assert own.prior == pytest.approx(judged.genuine / (judged.genuine + judged.impostor))
    assert (rare.prior, rare.cllr, rare.cllr_min) == (1e-4, own.cllr, own.cllr_min)
    assert rare.reliability[0].predicted < own.reliability[0].predicted
    assert "Probabilities at a prior of 0.0001" in rare.to_text()
    with pytest.raises(EvaluationError, match=r"^a prior of 1 is not between 0 and 1$"):
        calibrate(vectors, names, prior=1)


def test_listed_trials_are_split_by_people():
    llrs, same, people = llr_trials(seed=3)
    order = np.arange(200)
    stream(0, "calibration").shuffle(order)
    first = set(order[:100].tolist())
    sides = [np.array([code in first for code in side]) for side in people]
    fitted, judged = sides[0] & sides[1], ~sides[0] & ~sides[1]
    result = calibrate_trials(JudgedTrials(llrs, same, people))
    line = fit(llrs[fitted], same[fitted])
    assert result.calibration.llrs == pytest.approx(line.llrs)
    assert result.cllr == pytest.approx(cllr(line.llr(llrs[judged]), same[judged]))
    assert result.cllr_min == pytest.approx(cllr_min(llrs[judged], same[judged]))
    counts = result.trials[0].genuine + result.trials[1].genuine
    assert counts == 3000  # every genuine trial is in one of the halves
    assert result.people == (100, 100)
    alone = np.append(people[0], 999), np.append(people[1], 999)  # in a half, but the only trial
    more = calibrate_trials(JudgedTrials(np.append(llrs, 0.0), np.append(same, True), alone))
    assert sum(more.people) == 201
    assert more.people[0] == 100
    few = (np.array([0, 0, 1]), np.array([0, 1, 1]))
    with pytest.raises(EvaluationError, match=r"^no (genuine|impostor) trials"):
        calibrate_trials(JudgedTrials(np.arange(3.0), np.array([True, False, True]), few))


def test_the_fit_does_not_see_the_people_it_is_judged_on(make_faces):
    vectors, names = make_faces(300, people=40)
    people = np.unique(names)
    stream(0, "calibration").shuffle(people)
    judged = np.isin(names, people[20:])
    before = calibrate(vectors, names)
    changed = calibrate(np.where(judged[:, None], vectors[:, ::-1] ** 3, vectors), names,
                        similarity="dot")  # fmt: skip
    same = calibrate(vectors, names, similarity="dot")
    assert np.array_equal(changed.calibration.llrs, same.calibration.llrs)
    assert changed.cllr != same.cllr
    assert before.cllr == pytest.approx(same.cllr)


def test_one_class_only_is_one_clear_line(make_faces):
    vectors, _ = make_faces(60)
    with pytest.raises(
        EvaluationError, match=r"^no genuine trials: at least one person needs two images"
    ):
        calibrate(vectors, np.arange(60))


@pytest.fixture
def faces(make_faces):
    vectors, names = make_faces(160, people=20)
    return EmbeddingSet.from_arrays(vectors, names, path=[f"{i}.jpg" for i in range(160)])


def test_images_that_failed_are_left_out(faces):
    rows = faces.rows.copy()
    rows.loc[:2, "error"] = "truncated"
    vectors = faces.vectors.copy()
    vectors[:3] = 0
    found = calibrate(replace(faces, rows=rows, vectors=vectors), prior=0.1)
    alone = calibrate(faces.vectors[3:], faces.identities[3:], prior=0.1)
    assert found.to_dict() == {**alone.to_dict(), "fingerprint": "undeclared"}


def test_people_of_the_training_are_warned_of(faces):
    known = replace(faces, trained_on=pd.DataFrame({"identity": ["p001"], "dataset": ["made up"]}))
    i, j, _, same, _ = all_pairs(faces)
    paths = faces.rows["path"].to_numpy()
    listed = PairList(pd.DataFrame({"a": paths[i], "b": paths[j], "same": same}))
    for pairs, share in ((None, ""), (listed, ", in ")):
        (text,) = calibrate(known, pairs=pairs).to_dict()["warnings"]
        assert text.startswith(
            f"the model was trained on 1 of the 20 people (p001; from made up){share}"
        )
        assert calibrate(faces, pairs=pairs).warnings == []


def all_pairs(faces):
    i, j = np.triu_indices(160, 1)
    names = faces.identities
    codes = pd.factorize(names)[0]  # in the order of the rows, as a file names them
    scores = (faces.vectors[i].astype(float) * faces.vectors[j]).sum(axis=1).astype(np.float32)
    return i, j, scores, names[i] == names[j], (codes[i], codes[j])


def test_a_list_of_all_pairs_is_all_pairs(faces):
    i, j, _, same, _ = all_pairs(faces)
    paths = faces.rows["path"].to_numpy()
    listed = PairList(pd.DataFrame({"a": paths[i], "b": paths[j], "same": same}))
    found, whole = calibrate(faces, pairs=listed), calibrate(faces)
    assert found.cllr == pytest.approx(whole.cllr, abs=1e-6)
    assert found.trials == whole.trials
    for one, two in zip(found.reliability, whole.reliability, strict=True):
        assert (one.genuine, one.impostor) == (two.genuine, two.impostor)
        assert one.interval.low == pytest.approx(two.interval.low, rel=1e-6)


def test_scores_of_any_system(faces, tmp_path):
    i, j, scores, same, people = all_pairs(faces)
    path = tmp_path / "scores.parquet"
    frame = pd.DataFrame(
        {
            "score": scores,
            "label": same,
            "identity_a": faces.identities[i],
            "identity_b": faces.identities[j],
        }
    )
    frame.to_parquet(path)
    found = calibrate_scores(path, method="isotonic", prior=0.01)
    alone = calibrate_trials(JudgedTrials(scores, same, people), method="isotonic", prior=0.01)
    assert found.to_dict() == alone.to_dict()
    frame.drop(columns=["identity_a", "identity_b"]).to_parquet(path)
    with pytest.raises(EvaluationError, match=r"has no identities .*identity_a"):
        calibrate_scores(path)
    frame.assign(score=np.nan).to_parquet(path)
    with pytest.raises(EvaluationError, match=r"^12720 of 12720 scores are not finite"):
        calibrate_scores(path)


def test_a_stored_calibration_says_where_it_is_from(faces):
    meta = replace(faces.meta, dataset="made up", fingerprint="model-1")
    named = replace(faces, meta=meta, rows=faces.rows.assign(visit=np.arange(160) % 80))
    found = calibrate(named, prior=0.2)
    stored = found.stored()
    assert (stored.kind, stored.templates, stored.similarity) == ("1:1-image", "all", "cosine")
    assert (stored.dataset, stored.fingerprint, stored.prior) == ("made up", "model-1", 0.2)
    assert stored.trials == found.trials[0]
    assert stored.probability([0.1]) == pytest.approx(found.calibration.probability([0.1], 0.2))
    for quality, media, policy in ((None, None, "mean"), ("norm", None, "quality_mean"),
                                   ("visit", None, "other"), (None, "visit", "other")):  # fmt: skip
        rows = named.rows.assign(t=named.rows["identity"] + "-" + (np.arange(160) % 2).astype(str))
        pooled = template_set(replace(named, rows=rows), "t", quality=quality, media=media)
        one = calibrate(pooled, method="isotonic", prior=0.2).stored()
        assert (one.kind, one.templates) == ("1:1-template", policy)
        measured = verification(pooled, far=[0.1])
        assert measured.operating_point(0.1).templates == measured.to_dict()["templates"] == policy
    scores, same, people = all_pairs(faces)[2:]
    other = calibrate_trials(JudgedTrials(scores, same, people), prior=0.2)
    with pytest.raises(
        EvaluationError, match=r"scores of another system .* calibrate on embeddings"
    ):
        other.stored()
