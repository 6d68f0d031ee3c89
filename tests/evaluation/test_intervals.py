import pytest
from scipy.stats import binom

from facever.evaluation.intervals import clopper_pearson


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
