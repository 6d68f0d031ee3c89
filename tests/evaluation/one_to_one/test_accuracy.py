import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.accuracy import best_threshold, fold_accuracy, single_accuracy
from facever.evaluation.scoring.trials import ListedTrials


def draw(size=200, seed=0, share=0.5):
    rng = np.random.default_rng(seed)
    same = rng.random(size) < share
    return (rng.standard_normal(size) + 1.2 * same).astype(np.float32), same


def balanced(scores, same, threshold):
    return ((scores[same] > threshold).mean() + (scores[~same] <= threshold).mean()) / 2


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_a_loop(seed):
    scores, same = draw(101, seed, share=0.2)
    threshold = best_threshold(ListedTrials(scores, same))
    candidates = [scores.min() - 1, *scores]
    assert balanced(scores, same, threshold) == max(balanced(scores, same, t) for t in candidates)
    assert threshold not in scores


@pytest.mark.parametrize("same", [[True, False], [False, True]])
def test_the_best_threshold_of_two_scores(same):
    scores = np.array([0.2, 0.8])
    threshold = best_threshold(ListedTrials(scores, np.array(same)))
    assert np.isfinite(threshold)
    right = ((scores > threshold) == np.array(same)).sum()
    assert right == (2 if same == [False, True] else 1)


def test_single_accuracy_counts_right_answers_at_the_given_threshold():
    scores, same = draw()
    accuracy = single_accuracy(scores, same, 0.3, "chosen elsewhere")
    right = sum((s > 0.3) == bool(g) for s, g in zip(scores, same, strict=True))
    assert accuracy.mean == right / 200
    assert accuracy.standard_error == pytest.approx((right / 200 * (1 - right / 200) / 200) ** 0.5)
    assert accuracy.interval.low < accuracy.mean < accuracy.interval.high
    assert accuracy.thresholds == [0.3]


def test_the_interval_of_one_test_respects_people():
    rng = np.random.default_rng(3)
    people = rng.integers(12, size=(2, 150))
    people[1, :60] = people[0, :60]
    same = people[0] == people[1]
    # whoever is hard to recognise is so in all trials
    hard = rng.normal(0, 1, 12)
    clear = 0.7 + hard[people].mean(axis=0) + rng.normal(0, 0.3, 150)
    scores = 0.8 + np.where(same, clear, -clear)
    accuracy = single_accuracy(scores, same, 0.8, "x", people=(people[0], people[1]))
    right = (scores > 0.8) == same
    mean = right.mean()
    variance = sum(
        (right[i] - mean) * (right[j] - mean)
        for i in range(150)
        for j in range(150)
        if set(people[:, i]) & set(people[:, j])
    )
    variance *= 12 / 11 / 150**2
    reach = t.ppf(0.975, 11) * variance**0.5 / (mean * (1 - mean))
    interval = accuracy.interval
    assert logit(interval.low) == pytest.approx(logit(mean) - reach)
    assert logit(interval.high) == pytest.approx(logit(mean) + reach)
    assert interval.method == "dyadic logit"
    effective = mean * (1 - mean) / variance
    assert effective < 75
    assert interval.note == f"effective trials: {effective:.0f} of 150"
    narrow = single_accuracy(scores, same, 0.8, "x").interval
    assert "too narrow" in narrow.note
    assert narrow.high - narrow.low < 0.8 * (interval.high - interval.low)


def test_a_test_without_mistakes_counts_people():
    scores, same = np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, True, False, False])
    people = np.array([0, 1, 0, 2]), np.array([0, 1, 1, 3])
    interval = single_accuracy(scores, same, 0.5, "x", people=people).interval
    assert (interval.low, interval.high) == (pytest.approx(0.025**0.5), 1)
    assert "4 trials with equal outcome, counted as 2 independent" in interval.note


def test_folds_have_students_interval():
    scores, same = draw(300)
    accuracy = fold_accuracy(scores, same, np.arange(300) % 10, 0.9)
    reach = t.ppf(0.95, 9) * accuracy.standard_error
    interval = accuracy.interval
    assert (interval.level, interval.method) == (0.9, "Student t over 10 folds")
    assert interval.low == pytest.approx(accuracy.mean - reach)
    assert interval.high == pytest.approx(accuracy.mean + reach)
    perfect = fold_accuracy(np.where(same, 1.0, 0.0), same, np.arange(300) % 3)
    assert (perfect.interval.low, perfect.interval.high) == (1, 1)


def test_folds_are_judged_at_the_threshold_of_the_others():
    scores, same = draw(300)
    folds = np.arange(300) % 10
    accuracy = fold_accuracy(scores, same, folds)
    shares = []
    for fold in range(10):
        train = folds != fold
        candidates = sorted([scores.min() - 1, *scores[train]])
        best = max(balanced(scores[train], same[train], t) for t in candidates)
        threshold = accuracy.thresholds[fold]
        assert balanced(scores[train], same[train], threshold) == pytest.approx(best, abs=1e-12)
        shares.append(((scores[~train] > threshold) == same[~train]).mean())
    assert accuracy.mean == pytest.approx(np.mean(shares))
    assert accuracy.standard_error == pytest.approx(np.std(shares, ddof=1) / 10**0.5)


def test_a_fold_never_sees_its_own_trials():
    scores, same = draw(100)
    folds = np.arange(100) % 5
    changed = np.where(folds == 2, -scores, scores)
    before = fold_accuracy(scores, same, folds).thresholds
    assert fold_accuracy(changed, same, folds).thresholds[2] == before[2]


def test_one_fold_is_refused():
    scores, same = draw(20)
    with pytest.raises(EvaluationError, match="needs two folds or more, the list has 1"):
        fold_accuracy(scores, same, np.zeros(20, np.int64))
