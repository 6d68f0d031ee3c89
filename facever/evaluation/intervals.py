"""Confidence intervals of counted rates."""

from scipy.stats import beta

from facever.evaluation.operating_point import Interval

TOO_NARROW = "too narrow where trials share identities: it takes them for independent"


def clopper_pearson(
    successes: int, trials: int, level: float = 0.95, note: str | None = None
) -> Interval:
    """Return the exact interval of a binomial proportion of independent trials.

    Args:
        successes: 0 to `trials`.
        trials: 1 or more.
        level: Confidence, between 0 and 1.
        note: What the reader must know.

    Reference:
        Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of
        the binomial, Biometrika 26, 1934.
    """
    tail = (1 - level) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return Interval(
        low=float(low), high=float(high), level=level, method="clopper-pearson", note=note
    )
