"""The variance of sums over trials that share people, against loops and simulation."""

import numpy as np
import pytest

from facever.evaluation.statistics.clustered import (
    clustered_variance,
    mean_interval,
    share_interval,
)


def trials(rng, people=15, size=200):
    i, j = rng.integers(people, size=size), rng.integers(people, size=size)
    j = np.where(rng.random(size) < 0.3, i, j)
    return i, j


def slow(residuals, people):
    """Sum r_t r_u over all trials t, u that share a person."""
    total = 0.0
    sides = [{int(a), int(b)} for a, b in zip(*people, strict=True)]
    for r, one in zip(residuals, sides, strict=True):
        for s, two in zip(residuals, sides, strict=True):
            total += r * s if one & two else 0.0
    return total


def test_trials_that_share_a_person_vary_together():
    rng = np.random.default_rng(0)
    people = trials(rng)
    effect = rng.standard_normal(15)
    residuals = effect[people[0]] + effect[people[1]] + 0.1 * rng.standard_normal(200)
    variance, count = clustered_variance(residuals, people)
    assert count == 15
    assert variance == pytest.approx(slow(residuals, people) * 15 / 14)
    assert variance > 2 * float(residuals @ residuals)


def test_the_variance_is_never_below_that_of_independent_trials():
    people = (np.array([0, 0, 1, 2]), np.array([1, 1, 2, 3]))
    residuals = np.array([1.0, -1.0, 0.5, -0.5])
    assert slow(residuals, people) < 2.5
    assert clustered_variance(residuals, people)[0] == pytest.approx(2.5 * 4 / 3)
    twice = (np.array([0, 0, 0, 0]), np.array([1, 1, 2, 2]))  # and of independent pairs of people
    residuals = np.array([1.0, 1.0, -1.0, -1.0])
    assert slow(residuals, twice) == 0
    assert clustered_variance(residuals, twice)[0] == pytest.approx(8 * 3 / 2)


def simulated(rng, people=40, each=6):
    """Trials of people of whom some are harder than others: mean 0.3 over all populations."""
    hard = rng.normal(0, 0.15, people)
    i = np.repeat(np.arange(people), each)
    j = np.where(np.arange(len(i)) % 3 == 0, i, rng.integers(people, size=len(i)))
    return rng.random(len(i)) < np.clip(0.3 + (hard[i] + hard[j]) / 2, 0, 1), (i, j)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    inside = np.zeros(2)
    for _ in range(400):
        hits, people = simulated(rng)
        ones = np.ones(len(hits))
        found = [
            share_interval(hits, people),
            mean_interval(hits.astype(float), ones / len(hits), people),
        ]
        inside += [one.low <= 0.3 <= one.high for one in found]
    assert np.all((inside > 0.91 * 400) & (inside < 0.985 * 400))


def test_a_share_is_on_the_logit_scale():
    hits, people = simulated(np.random.default_rng(2))
    found, share = share_interval(hits, people), hits.mean()
    variance = clustered_variance(hits - share, people)[0] / len(hits) ** 2
    reach = 2.0227 * np.sqrt(variance) / (share * (1 - share))  # Student's t of 39
    for end, sign in ((found.low, -1), (found.high, 1)):
        logit = np.log(end / (1 - end))
        assert logit == pytest.approx(np.log(share / (1 - share)) + sign * reach, rel=1e-3)


def test_without_exception_people_count_not_trials():
    people = (np.arange(20) % 5, np.arange(20) % 5 + 5)
    none = share_interval(np.zeros(20, bool), people)
    assert (none.low, none.high) == (0, pytest.approx(1 - 0.025 ** (1 / 5)))
    every = share_interval(np.ones(20, bool), people)
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / 5)), 1)
    assert every.note == "20 trials with equal outcome, counted as 5 independent trials"


def test_no_difference_has_no_width():
    found = mean_interval(np.zeros(4), np.full(4, 0.25), (np.arange(4), np.arange(4)))
    assert (found.low, found.high) == (0, 0)
