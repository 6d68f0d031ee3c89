"""Bootstrap intervals of means over queries or probes; people are drawn, not images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.statistics.intervals import DRAWS, clopper_pearson, expanded, weights
from facever.operating_point import Interval

_AT_ONCE = 1 << 22  # bootstrap weights drawn at a time


def person_intervals(
    values: NDArray[np.floating] | NDArray[np.bool_],
    codes: Ints,
    level: float = 0.95,
    *,
    seed: int = 0,
) -> list[Interval]:
    """Return the identity bootstrap interval of each column's mean.

    People are drawn with replacement, each with all of their rows; all columns use the same draws.
    A share of 0 or 1 has the Clopper-Pearson interval, with one trial per person.

    Args:
        values: [Q, M], values in [0, 1] of Q rows for M measures.
        codes: int64 [Q], the person of each row.
        level: Confidence level.
        seed: Seed of the draws.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile
        interval); by clusters: Field and Welsh, Bootstrapping clustered data, JRSS B 69, 2007.
    """
    sums, sizes = _by_person(values, codes)
    ends = np.nanquantile(_draws(sums, sizes, seed), expanded(level, len(sizes)), axis=0)
    return [
        _without_exception(column.sum() > 0, sizes, level)
        if column.sum() in (0, len(codes))
        else _around(float(column.sum()) / len(codes), float(low), float(high), level)
        for column, low, high in zip(sums.T, *ends, strict=True)
    ]


def paired_intervals(
    differences: Doubles, codes: Ints, level: float = 0.95, *, seed: int = 0
) -> list[Interval]:
    """Return the interval of each column's mean difference of two systems on the same rows.

    Args:
        differences: float64 [Q, M], second minus first.
        codes: int64 [Q], the person of each row.
        level: Confidence level.
        seed: Seed of the draws.
    """
    sums, sizes = _by_person(differences, codes)
    ends = np.nanquantile(_draws(sums, sizes, seed), expanded(level, len(sizes)), axis=0)
    method = "paired identity bootstrap"
    return [
        Interval(low=float(low), high=float(high), level=level, method=method)
        for low, high in zip(*ends, strict=True)
    ]


def _around(mean: float, low: float, high: float, level: float) -> Interval:
    """Return the interval of draws, extended to contain the measured mean."""
    low, high = min(low, mean), max(high, mean)
    return Interval(low=low, high=high, level=level, method="identity bootstrap")


def _without_exception(share: bool, sizes: Doubles, level: float) -> Interval:
    """Return the interval of a share of 0 or 1, with one independent trial per person."""
    people = len(sizes)
    note = (
        f"{sizes.sum():.0f} trials with equal outcome, counted as {people} independent trials, "
        "one per person"
    )
    method = "clopper-pearson, effective trials"
    return clopper_pearson(share * people, people, level, note, method)


def _by_person(values: NDArray[Any], codes: Ints) -> tuple[Doubles, Doubles]:
    """Sum the rows of each person, [I, M], and count them, [I]."""
    people, at = np.unique(codes, return_inverse=True)
    columns = np.asarray(values, np.float64)
    sums = np.zeros((len(people), columns.shape[1]))
    np.add.at(sums, at, columns)
    return sums, np.bincount(at, minlength=len(people)).astype(np.float64)


def _draws(sums: Doubles, sizes: Doubles, seed: int) -> Doubles:
    """Return the means of drawn populations, [B, M]."""
    step = max(1, _AT_ONCE // len(sizes))
    means = []
    for part, start in enumerate(range(0, DRAWS, step)):
        drawn = weights(len(sizes), min(step, DRAWS - start), seed, part)
        means.append((drawn @ sums) / (drawn @ sizes)[:, None])
    return np.concatenate(means)
