"""The distributions are those of scipy.stats, which takes too long to import, bit for bit."""

import pytest
from scipy import stats

from facever.evaluation.statistics.distributions import (
    beta_quantile,
    normal_quantile,
    normal_share,
    student_quantile,
    student_tail,
)

SHARES = (0.005, 0.025, 0.5, 0.9, 0.975, 0.995)


@pytest.mark.parametrize("degrees", [1, 2, 5, 37, 1000, 1e6])
def test_student(degrees):
    for share in SHARES:
        assert student_quantile(share, degrees) == stats.t.ppf(share, degrees)
    for value in (-3.3, 0.0, 0.5, 8.0):
        assert student_tail(value, degrees) == stats.t.sf(value, degrees)


def test_normal():
    for share in SHARES:
        assert normal_quantile(share) == stats.norm.ppf(share)
    for value in (-8.0, -1.0, 0.0, 2.5):
        assert normal_share(value) == stats.norm.cdf(value)


@pytest.mark.parametrize(("a", "b"), [(1, 5), (1.5, 37.3), (300, 700), (1, 1e9), (5e5, 2)])
def test_beta(a, b):
    for share in SHARES:
        assert beta_quantile(share, a, b) == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-13)
