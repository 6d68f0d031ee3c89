"""Paired differences: over seeds by Student's t, over people by bootstrap; Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.statistics.distributions import (
    normal_quantile,
    student_quantile,
    student_tail,
)
from facever.evaluation.statistics.intervals import expanded
from facever.operating_point import Interval
from facever.render.values import Record


@dataclass(frozen=True)
class Difference(Record):
    """The second minus the first, its interval, and the p value of "no difference".

    Attributes:
        mean: Mean of the differences.
        interval: Interval of this difference, not corrected for multiple tests.
        p: Two-sided p value, not corrected.
    """

    mean: float
    interval: Interval
    p: float


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """Return Student's t interval of the mean of independent values [S]; None for fewer than 2."""
    given = np.asarray(values, np.float64)
    if len(given) < 2:
        return None
    reach = student_quantile((1 + level) / 2, len(given) - 1) * _standard_error(given)
    mean = float(given.mean())
    return Interval(low=mean - reach, high=mean + reach, level=level, method="Student t over seeds")


def over_seeds(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Difference | None:
    """Compare values of the same seeds by Student's t on their differences.

    Args:
        first, second: [S], the values of the same seeds in the same order.
        level: Confidence level of the interval.

    Returns:
        None for fewer than two seeds.

    Raises:
        EvaluationError: The numbers of seeds differ.
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape:
        raise EvaluationError(f"{len(one)} and {len(two)} seeds cannot be paired")
    differences = two - one
    interval = mean_interval(differences, level)
    if interval is None:
        return None
    mean, error = float(differences.mean()), _standard_error(differences)
    if not error:
        p = 1.0 if mean == 0 else 0.0
    else:
        p = 2 * student_tail(abs(mean) / error, len(differences) - 1)
    return Difference(
        mean, interval.model_copy(update={"method": "paired Student t over seeds"}), p
    )


def over_people(draws: ArrayLike, estimate: float, people: int, level: float = 0.95) -> Difference:
    """Test a difference by its values in drawn populations.

    The p value is that of the widest interval of this construction that excludes zero, so that few
    people cannot give a small p value.

    Args:
        draws: [N], the difference in each population, with the same draws for both.
        estimate: The difference on the original people.
        people: Number of people, 2 or more.
        level: Confidence level of the interval.
    """
    values = np.asarray(draws, np.float64)
    values = values[np.isfinite(values)]
    ends = np.quantile(values, expanded(level, people))
    beyond = min(int((values <= 0).sum()), int((values >= 0).sum()))
    most = normal_quantile(min((beyond + 1) / (len(values) + 1), 0.5))
    reach = -most * np.sqrt((people - 1) / people)
    interval = Interval(
        low=float(ends[0]), high=float(ends[1]), level=level, method="paired identity bootstrap"
    )
    return Difference(estimate, interval, 2 * student_tail(reach, people - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Return p values corrected for multiple tests, with control of the family-wise error rate.

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
        Statistics 6, 1979.
    """
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = largest
    return corrected


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
