from itertools import combinations

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import binom, t

from facever.evaluation.scoring.dyads import BlockDyads, DyadErrors, DyadSums
from facever.evaluation.statistics.intervals import (
    Moving,
    clopper_pearson,
    dyadic_rate,
    fmr_interval,
    tar_interval,
    weights,
)


@pytest.mark.parametrize(("successes", "trials"), [(3, 40), (1, 9), (39, 40)])
def test_clopper_pearson_ends_are_where_the_tails_hold_the_error(successes, trials):
    interval = clopper_pearson(successes, trials, 0.9)
    assert binom.sf(successes - 1, trials, interval.low) == pytest.approx(0.05)
    assert binom.cdf(successes, trials, interval.high) == pytest.approx(0.05)
    assert (interval.level, interval.method) == (0.9, "clopper-pearson")


def test_clopper_pearson_at_the_ends():
    none, all_ = clopper_pearson(0, 100), clopper_pearson(100, 100)
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert (all_.low, all_.high) == (pytest.approx(1 - none.high), 1)


def errors_of(table):
    i, j = np.triu_indices(len(table), 1)
    held = table[i, j] > 0
    return DyadErrors(i[held], j[held], table[i, j][held].astype(float))


@pytest.mark.parametrize("case", ["one person", "evenly"])
def test_the_dyadic_variance_is_that_of_a_loop(case):
    codes = np.arange(45) % 9
    dyads = BlockDyads(codes, np.empty((45, 0), np.int64))
    if case == "one person":
        table = np.zeros((9, 9))
        table[3, 4:] = 4
    else:
        table = np.diag(np.ones(8), 1)
        table[0, 8] = 1
    found = dyadic_rate(DyadSums.of(errors_of(table), dyads), dyads)
    n = np.bincount(codes, minlength=9)
    pairs = list(combinations(range(9), 2))
    trials = sum(n[i] * n[j] for i, j in pairs)
    rate = table.sum() / trials
    r = {(i, j): table[i, j] - rate * n[i] * n[j] for i, j in pairs}
    # every pair of dyads that share a person, and at least every dyad with itself
    shared = sum(v * w for p, v in r.items() for q, w in r.items() if set(p) & set(q))
    alone = sum(v**2 for v in r.values())
    assert found.rate == pytest.approx(rate)
    variance = max(shared, alone) / trials**2 * 9 / 8
    assert found.variance_with(0.0) == pytest.approx(variance)
    assert found.variance == pytest.approx(max(variance, rate * (1 - rate) / trials))
    assert (shared > alone) == (case == "one person")


def test_the_dyadic_interval_is_a_logit_interval_with_students_t():
    dyads = BlockDyads(np.arange(40) // 2, np.empty((40, 0), np.int64))
    table = np.triu(np.random.default_rng(0).binomial(4, 0.1, (20, 20)), 1)
    found = dyadic_rate(DyadSums.of(errors_of(table), dyads), dyads)
    interval = fmr_interval(found)
    middle = (logit(interval.low) + logit(interval.high)) / 2
    assert middle == pytest.approx(logit(found.rate))
    reach = t.ppf(0.975, 19) * found.variance**0.5 / (found.rate * (1 - found.rate))
    assert logit(interval.high) - middle == pytest.approx(reach)
    assert interval.method == "dyadic logit"
    assert "effective trials" in interval.note
    assert 0 < found.effective_trials <= found.trials


def test_no_errors_say_both_numbers_and_never_more_than_the_pairs():
    dyads = BlockDyads(np.arange(40) // 2, np.empty((40, 0), np.int64))
    none = DyadSums(0.0, np.zeros(20), 0.0, 0.0)
    interval = fmr_interval(dyadic_rate(none, dyads))
    assert interval.low == 0
    assert interval.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert "760 trials with equal outcome, counted as 10 independent" in interval.note
    assert "(rule of three: 0.3; 0.0039 if all were" in interval.note


def test_bootstrap_weights_draw_as_many_people_as_there_are():
    drawn = weights(30, 400, seed=1)
    assert (drawn.sum(axis=1) == 30).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(30), abs=0.25)
    assert drawn.var() == pytest.approx(29 / 30, rel=0.1)
    assert np.array_equal(drawn, weights(30, 400, seed=1))
    assert not np.array_equal(drawn, weights(30, 400, seed=2))


def test_a_tar_interval_is_that_of_a_ratio_of_sums_over_people():
    rng = np.random.default_rng(0)
    genuine = rng.integers(1, 30, 200).astype(float)
    accepted = rng.binomial(genuine.astype(int), rng.beta(4, 2, 200)).astype(float)
    interval = tar_interval(Moving.fixed(accepted, genuine))
    rate = accepted.sum() / genuine.sum()
    residuals = (accepted - rate * genuine) / genuine.sum()
    reach = 1.96 * np.sqrt(np.sum(residuals**2))
    assert interval.low == pytest.approx(rate - reach, abs=0.1 * reach)
    assert interval.high == pytest.approx(rate + reach, abs=0.1 * reach)
    assert interval.method == "identity bootstrap"
    assert interval == tar_interval(Moving.fixed(accepted, genuine))


def test_an_estimated_threshold_widens_the_interval_by_what_it_moves():
    people = 300
    genuine = np.full(people, 10.0)
    steps = np.linspace(-1, 1, 41)
    # TAR = 0.5 + 0.1 · log FMR for everyone: only the threshold varies
    accepted = np.repeat((0.5 + 0.1 * steps)[None] * 10, people, axis=0)
    linear = np.random.default_rng(0).standard_normal(people)
    linear *= 0.3 / np.linalg.norm(linear)
    interval = tar_interval(Moving(accepted, genuine, steps, linear))
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.03, abs=0.004)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.03, abs=0.004)


def test_a_false_accepting_draw_lowers_the_tar():
    # one person has all false accepts and, when drawn often, the threshold must rise
    genuine = np.full(50, 10.0)
    steps = np.array([-3.0, 0.0, 3.0])
    accepted = np.stack([np.full(50, 2.0), np.full(50, 5.0), np.full(50, 8.0)], axis=1)
    linear = np.zeros(50)
    linear[0] = 1.0
    interval = tar_interval(Moving(accepted, genuine, steps, linear))
    assert interval.low < 0.4  # drawn three times and more
    assert interval.high == pytest.approx(0.6, abs=1e-9)  # at best not drawn


def test_a_tar_without_exception_counts_people_not_pairs():
    genuine = np.array([10.0, 45.0, 0.0, 3.0])
    interval = tar_interval(Moving.fixed(genuine, genuine))
    assert (interval.low, interval.high) == (pytest.approx(0.025 ** (1 / 3)), 1.0)
    assert "58 genuine trials with equal outcome, counted as 3 independent" in interval.note
