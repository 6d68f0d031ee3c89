import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluation.scoring.trials import (
    Histogram,
    ListedTrials,
    budget,
    check_fars,
    half_way,
    needed,
)


def test_the_budget_is_exact_decimal_arithmetic():
    # in floating point 0.1 * 30 < 3 is not, but 0.29 * 100 = 28.999999999999996 is
    assert int(0.29 * 100) == 28
    assert budget(0.29, 100) == 29
    assert budget(0.1, 30) == 3
    assert budget(1e-3, 999) == 0
    assert budget(1e-3, 1000) == 1
    assert budget(1e-6, 799_980_000) == 799
    assert budget(1e-8, 499_999_500_000) == 4999


@pytest.mark.parametrize("far", [0.3, 1e-3, 7e-5, 1e-8, 0.29])
def test_needed_is_the_fewest_trials_with_a_budget_of_one(far):
    assert budget(far, needed(far)) == 1
    assert budget(far, needed(far) - 1) == 0


def test_fars_are_sorted_and_checked():
    assert check_fars([1e-3, 1e-2, 1e-3]) == [1e-2, 1e-3]
    for far in (0, 1, -0.1, 2, float("nan")):
        with pytest.raises(EvaluationError, match="is not between 0 and 1"):
            check_fars([far])
    with pytest.raises(EvaluationError, match="no FAR given"):
        check_fars([])


def test_listed_counts_are_those_of_a_loop_with_ties():
    rng = np.random.default_rng(0)
    scores = rng.integers(12, size=200).astype(np.float32)
    same = rng.random(200) < 0.3
    trials = ListedTrials(scores, same)
    ranked = sorted((s for s, g in zip(scores, same, strict=True) if not g), reverse=True)
    for k in range(len(ranked)):
        assert trials.threshold(k) == ranked[k]
    for threshold in np.arange(-1, 13, 0.5):
        assert trials.false_accepts(threshold) == sum(s > threshold for s in scores[~same])
        assert trials.true_accepts(threshold) == sum(s > threshold for s in scores[same])


def test_a_float64_score_is_not_rounded_to_its_neighbour():
    low, high = 0.1, np.nextafter(0.1, 1)
    trials = ListedTrials(np.array([low, high, low]), np.array([True, False, False]))
    assert trials.threshold(0) == high
    assert trials.false_accepts(low) == 1


def test_bad_scores_are_refused():
    with pytest.raises(
        EvaluationError, match=r"1 of 3 scores are not finite, the first is trial 1"
    ):
        ListedTrials(np.array([0.1, np.nan, 0.2]), np.array([True, False, False]))
    with pytest.raises(EvaluationError, match="no impostor trials: at least two people"):
        ListedTrials(np.array([0.1, 0.2]), np.array([True, True]))
    with pytest.raises(
        EvaluationError, match="no genuine trials: at least one person needs two images"
    ):
        ListedTrials(np.array([0.1, 0.2]), np.array([False, False]))
    with pytest.raises(EvaluationError, match="one score and one label per trial"):
        ListedTrials(np.array([0.1, 0.2]), np.array([True]))


def test_histogram_counts_every_score_once_and_thins_without_loss():
    rng = np.random.default_rng(0)
    scores, same = rng.standard_normal(500).astype(np.float32), rng.random(500) < 0.3
    histogram = ListedTrials(scores, same).histogram
    expected = np.histogram(scores[same].astype(float), histogram.edges)[0]
    assert np.array_equal(histogram.genuine, expected)
    thin = histogram.thinned(20)
    assert len(thin.edges) == 21
    assert (thin.genuine.sum(), thin.impostor.sum()) == (same.sum(), (~same).sum())
    middles = (thin.edges[:-1] + thin.edges[1:]) / 2
    assert (thin.genuine @ middles) / same.sum() == pytest.approx(scores[same].mean(), abs=0.1)


def test_a_histogram_of_one_value_has_a_width():
    trials = ListedTrials(np.ones(4), np.array([True, False, True, False]))
    assert trials.histogram.genuine.sum() == 2
    assert isinstance(trials.histogram.thinned(), Histogram)


def test_a_threshold_lies_half_way_to_the_next_score_of_either_class():
    scores = np.array([0.1, 0.2, 0.4, 0.8, 0.3, 0.9], np.float32)
    trials = ListedTrials(scores, np.array([False, False, False, False, True, True]))
    assert trials.cut(1) == pytest.approx(0.6)  # 0.4 to 0.8
    assert trials.cut(2) == pytest.approx(0.25)  # 0.2 to the genuine 0.3
    assert trials.cut(0) == pytest.approx(0.85)  # 0.8 to the genuine 0.9
    highest = ListedTrials(scores, np.array([True, False, False, False, True, False]))
    assert highest.cut(0) == np.float32(0.9)  # nothing is above


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_neighbouring_numbers_are_both_refused(kind):
    low = kind(0.7)
    high = np.nextafter(low, kind(1))
    beyond = np.nextafter(high, kind(1))
    assert half_way(low, high) == high
    assert half_way(low, beyond) == high
    trials = ListedTrials(np.array([low, high, 0], kind), np.array([False, False, True]))
    assert trials.cut(1) == high
    assert trials.false_accepts(trials.cut(1)) == 0


def test_a_cut_counts_as_the_score_below_it_and_never_more():
    rng = np.random.default_rng(0)
    scores = rng.integers(30, size=300).astype(np.float32) / 32
    same = rng.random(300) < 0.3
    trials = ListedTrials(scores, same)
    for k in range(int((~same).sum())):
        cut = trials.cut(k)
        assert trials.false_accepts(cut) == trials.false_accepts(trials.threshold(k)) <= k
        assert trials.true_accepts(cut) == trials.true_accepts(trials.threshold(k))
