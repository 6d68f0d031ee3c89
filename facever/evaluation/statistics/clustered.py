"""Means over trials of both classes, with dependence between trials that share a person."""

import numpy as np

from facever.evaluation.scoring.dyads import dyad_keys
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Numbers
from facever.evaluation.statistics.distributions import student_quantile
from facever.evaluation.statistics.intervals import clopper_pearson, logit_interval
from facever.operating_point import Interval


def clustered_variance(residuals: Doubles, people: tuple[Numbers, Numbers]) -> tuple[float, int]:
    """Return the variance of a sum over trials, and the number of people in them.

    V = sum_i S_i² - sum_{i<j} R_ij², where S_i is the sum of residuals of all trials with person i
    and R_ij that of the pair (i, j); at least the variance of independent trials or pairs of
    people; multiplied by I / (I - 1).

    Args:
        residuals: float64 [T], each trial's value minus its expectation.
        people: Integers [T] each, the two people of each trial; equal for a genuine trial.

    Reference:
        As for `dyadic_rate`; treating a genuine trial as a dyad of one person is our choice.
    """
    i, j = people
    everyone = int(max(side.max() for side in people)) + 1
    two = i != j
    own = np.bincount(i[~two], weights=residuals[~two], minlength=everyone)
    sums = own + np.bincount(i[two], weights=residuals[two], minlength=everyone)
    sums = sums + np.bincount(j[two], weights=residuals[two], minlength=everyone)
    at = np.unique(dyad_keys(i[two], j[two], everyone), return_inverse=True)[1]
    pairs = np.bincount(at, weights=residuals[two])
    clustered = float(sums @ sums - pairs @ pairs)
    variance = max(clustered, float(own @ own + pairs @ pairs), float(residuals @ residuals))
    count = len(np.unique(np.concatenate(people)))
    return variance * count / max(count - 1, 1), count


def share_interval(hits: Bools, people: tuple[Numbers, Numbers], level: float = 0.95) -> Interval:
    """Return the interval of a share of trials, on the logit scale.

    For a share of 0 or 1 it is the Clopper-Pearson interval, with one independent trial per two
    people.

    Args:
        hits: Bool [T].
        people: Integers [T] each, as for `clustered_variance`.
        level: Confidence level.
    """
    share = float(hits.mean())
    if share in (0, 1):
        count = len(np.unique(np.concatenate(people)))
        effective = max(1.0, min(len(hits), count / 2))
        note = (
            f"{len(hits)} trials with equal outcome, counted as {effective:.0f} independent trials"
        )
        method = "clopper-pearson, effective trials"
        return clopper_pearson(share * effective, effective, level, note, method)
    variance, count = clustered_variance(hits.astype(np.float64) - share, people)
    return logit_interval(share, variance / len(hits) ** 2, count, level, "dyadic logit")


def mean_interval(
    values: Doubles, weights: Doubles, people: tuple[Numbers, Numbers], level: float = 0.95
) -> Interval:
    """Return the interval of a weighted mean over trials, by Student's t.

    Args:
        values: float64 [T].
        weights: float64 [T], with sum 1.
        people: Integers [T] each, as for `clustered_variance`.
        level: Confidence level.
    """
    mean = float(weights @ values)
    variance, count = clustered_variance(weights * (values - mean), people)
    reach = student_quantile((1 + level) / 2, max(count - 1, 1)) * float(np.sqrt(variance))
    return Interval(low=mean - reach, high=mean + reach, level=level, method="dyadic Student t")
