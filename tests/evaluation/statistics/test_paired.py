"""Differences over seeds and over people, and Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from facever.errors import EvaluationError
from facever.evaluation.statistics.intervals import expanded
from facever.evaluation.statistics.paired import holm, mean_interval, over_people, over_seeds

FIRST = [0.50, 0.52, 0.49, 0.55, 0.51]
SECOND = [0.53, 0.54, 0.53, 0.56, 0.55]


def test_over_seeds_is_the_paired_t_test() -> None:
    found = over_seeds(FIRST, SECOND)
    assert found is not None
    theirs = stats.ttest_rel(SECOND, FIRST)
    low, high = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert [found.interval.low, found.interval.high] == pytest.approx([low, high])
    assert found.mean == pytest.approx(0.028)
    assert found.interval.method == "paired Student t over seeds"


def test_pairing_counts() -> None:
    shuffled = over_seeds(FIRST, [SECOND[k] for k in (1, 2, 3, 4, 0)])
    paired = over_seeds(FIRST, SECOND)
    assert shuffled is not None
    assert paired is not None
    assert shuffled.mean == pytest.approx(paired.mean)
    assert shuffled.p > paired.p


def test_few_or_equal_seeds() -> None:
    assert over_seeds([0.5], [0.6]) is None
    assert mean_interval([0.5]) is None
    same = over_seeds([0.5, 0.6], [0.5, 0.6])
    assert same is not None
    assert (same.mean, same.p) == (0, 1)
    moved = over_seeds([0.5, 0.25], [0.75, 0.5])  # exactly 0.25 in both
    assert moved is not None
    assert (moved.interval.low, moved.interval.high, moved.p) == (0.25, 0.25, 0)
    with pytest.raises(EvaluationError, match="2 and 3 seeds cannot be paired"):
        over_seeds([1, 2], [1, 2, 3])


def test_mean_interval_is_students() -> None:
    interval = mean_interval(FIRST, 0.9)
    assert interval is not None
    theirs = stats.t.interval(0.9, 4, np.mean(FIRST), stats.sem(FIRST))
    assert (interval.low, interval.high) == pytest.approx(theirs)


def test_over_people_reads_the_widened_percentiles() -> None:
    draws = np.random.default_rng(0).normal(0.1, 0.05, 2000)
    found = over_people(np.append(draws, np.nan), 0.1, 40)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        np.quantile(draws, expanded(0.95, 40))
    )
    assert found.mean == 0.1


@pytest.mark.parametrize("people", [5, 40, 2000])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_p_value_of_people_is_that_of_the_interval_that_just_holds_zero(
    people: int, sign: int
) -> None:
    draws = np.random.default_rng(1).normal(0.06, 0.05, 2000)
    found = over_people(sign * draws, sign * 0.06, people)
    just = np.quantile(sign * draws, expanded(1 - found.p, people))
    end = just[0] if sign > 0 else just[1]
    assert end == pytest.approx(0, abs=2e-3)


def test_few_people_give_no_small_p() -> None:
    certain = np.full(2000, 0.3)
    assert over_people(certain, 0.3, 3).p > 0.1
    assert over_people(certain, 0.3, 2000).p < 0.002
    assert over_people(np.zeros(2000), 0.0, 2000).p == 1


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5; never below what came before.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.9, 0.9]) == [1, 1]
    assert holm([]) == []
