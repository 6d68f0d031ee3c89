"""Confidence intervals of the AUC and of the equal error rate, clustered by identity.

To first order, both are a mean over the impostor trials plus a mean over the genuine trials. The
contribution of a person to the first mean is computed from all trials if their scores are kept.
Otherwise it is estimated, which is our choice: all rows are compared with two samples of 512 other
rows, and the product of the two estimates has the expectation of the squared contribution. Only the
random part of single pairs of people is counted twice in the variance, which makes it larger, never
smaller, and by little for hundreds of people.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facever.core.seeding import stream
from facever.evaluation.scoring.dyads import DyadErrors, DyadSums
from facever.evaluation.scoring.pairwise import Bools, Side
from facever.evaluation.scoring.products import LinearBins
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints, Numbers
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials
from facever.evaluation.statistics.intervals import DyadicRate, dyadic_rate, logit_interval
from facever.evaluation.statistics.roc import Rate, Roc
from facever.operating_point import Interval

Value = Callable[[Floats | Doubles], Doubles]
_COLUMNS, _ROWS = 512, 1024
_AT_ONCE = 1 << 20  # impostor trials
_WINDOW = 1.5  # the slopes at the EER are measured between EER / 1.5 and EER · 1.5
SAMPLED = "from the trials with a sample of rows"


@dataclass(frozen=True)
class SampledRate:
    """A mean over impostor trials with two estimates of each person's contribution.

    Attributes:
        parts: float64 [2, I], contribution of each person, by either estimate.
        people: Number of people that are compared with others.
    """

    parts: Doubles
    people: int

    def variance_with(self, own: Doubles, weight: float = 1.0) -> float:
        """Return the variance of the mean times a weight plus a mean over people.

        See `DyadicRate.variance_with`.
        """
        first, second = own + weight * self.parts
        variance = max(float(first @ second), float(own @ own))
        return variance * self.people / max(self.people - 1, 1)


def curve_intervals(
    trials: Trials, roc: Roc, level: float = 0.95
) -> tuple[Interval | None, Interval | None]:
    """Return the intervals of the AUC and of the EER.

    Each is None if the people are unknown or the classes are separated. The variance of the AUC is
    that of the U-statistic projections of both classes. The variance of the EER e, where the
    decreasing FMR crosses the increasing FNMR, follows from the delta method:
    de = w dFMR + (1 - w) dFNMR, w = FNMR' / (FNMR' - FMR').

    Args:
        trials: Genuine and impostor trials.
        roc: Their curve.
        level: Confidence level.

    Reference:
        DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988 (the parts of the AUC); the variance
        clustered by people: `dyadic_rate`. The variance of the EER is derived here.
    """
    if trials.dyads is None:
        return None, None
    auc, eer, at, weight = roc.auc(), roc.eer(), *_crossing(roc)
    found = _by_people(
        trials,
        [_share_above(trials, roc), _is(lambda scores: scores > at)],
    )
    own = _own_parts(trials, [_share_below(trials, roc), _is(lambda scores: scores <= at)])
    note = None if trials.whole else SAMPLED
    return (
        _interval(auc, found[0], own[0], (1.0, 1.0), level, note),
        _interval(eer, found[1], own[1], (weight, 1 - weight), level, note),
    )


def _interval(
    rate: Rate,
    found: DyadicRate | SampledRate,
    own: Doubles,
    weights: tuple[float, float],
    level: float,
    note: str | None,
) -> Interval | None:
    """Return the logit interval, widened by the error bound of the bins.

    Args:
        rate: The rate.
        found: Its part over impostor trials.
        own: float64 [I], its part over genuine trials.
        weights: Weights of the two parts.
        level: Confidence level.
        note: Caveat for the reader.
    """
    if not 0 < rate.value < 1:
        return None
    variance = found.variance_with(weights[1] * own, weights[0])
    interval = logit_interval(rate.value, variance, found.people, level, "dyadic logit", note)
    low, high = max(0.0, interval.low - rate.bound), min(1.0, interval.high + rate.bound)
    return interval.model_copy(update={"low": low, "high": high})


def _crossing(roc: Roc) -> tuple[float, float]:
    """Return the threshold of the EER, and the weight of the FMR in it."""
    fmr, fnmr = roc.rates()
    at = int(np.argmax(fnmr >= fmr))
    middle = max(fmr[at], fnmr[at])
    # FMR decreases along the curve: the indices where it is near the EER
    first = int(np.searchsorted(-fmr, -middle * _WINDOW, side="left"))
    last = int(np.searchsorted(-fmr, -middle / _WINDOW, side="left"))
    first, last = min(first, at - 1), min(max(last, at), len(fmr) - 1)
    rise, fall = fnmr[last] - fnmr[max(first, 0)], fmr[max(first, 0)] - fmr[last]
    return float(roc.thresholds[at]), float(rise / (rise + fall)) if rise + fall > 0 else 0.5


def _is(holds: Callable[[Floats | Doubles], Bools]) -> Value:
    """Return a condition on scores as 0 and 1."""
    return lambda scores: holds(scores).astype(np.float64)


def _share_above(trials: Trials, roc: Roc) -> Value:
    """Return a function of a score: the share of genuine scores above it, ties count one half."""
    return lambda scores: 1 - _passed(roc, roc.false_rejects, scores) / trials.genuine


def _share_below(trials: Trials, roc: Roc) -> Value:
    """Return a function of a score: the share of impostor scores below it, ties count one half."""
    below = trials.impostor - roc.false_accepts
    return lambda scores: _passed(roc, below, scores) / trials.impostor


def _passed(roc: Roc, below: Ints, scores: Floats | Doubles) -> Doubles:
    """Count the scores below others; ties count one half, and within a bin half of the bin."""
    exact = scores.astype(np.float64)
    left = np.searchsorted(roc.thresholds, exact, side="left") - 1
    right = np.searchsorted(roc.thresholds, exact, side="right") - int(roc.trials.whole)
    last = len(roc.thresholds) - 1
    return (below[np.clip(left, 0, last)] + below[np.clip(right, 0, last)]) / 2


def _own_parts(trials: Trials, values: Sequence[Value]) -> list[Doubles]:
    """Return the contribution of each person's genuine trials to the mean of each function,
    float64 [I]."""
    assert trials.dyads is not None
    people = trials.dyads.people
    sums, sizes = np.zeros((len(values), people)), np.zeros(people)
    for part in trials.genuine_parts():
        who = trials.people_of(part)[0]
        sizes += np.bincount(who, minlength=people)
        for row, value in zip(sums, values, strict=True):
            row += np.bincount(who, value(part.scores), people)
    means = sums.sum(axis=1) / sizes.sum()
    return [(row - mean * sizes) / sizes.sum() for row, mean in zip(sums, means, strict=True)]


def _by_people(trials: Trials, values: Sequence[Value]) -> list[DyadicRate] | list[SampledRate]:
    """Return the means of functions over the impostor trials, with contributions by person."""
    assert trials.dyads is not None
    if isinstance(trials, StreamedTrials) and not trials.whole:
        people = int((trials.dyads.per_person > 0).sum())
        return [SampledRate(parts, people) for parts in _sampled_parts(trials, values)]
    size = trials.dyads.people, len(trials.top)
    parts = (DyadErrors.of_parts(_parts(trials, value), *size) for value in values)
    return [dyadic_rate(DyadSums.of(part, trials.dyads), trials.dyads) for part in parts]


def _parts(trials: Trials, value: Value) -> Iterator[tuple[Numbers, Numbers, Doubles]]:
    """Yield the people of impostor trials and the value of their scores, some at a time."""
    for start in range(0, len(trials.top), _AT_ONCE):
        some = trials.top.take(slice(start, start + _AT_ONCE))
        yield *trials.people_of(some), value(some.scores)


def _sampled_parts(trials: StreamedTrials, values: Sequence[Value]) -> Doubles:
    """Return each person's contribution to the mean of each function, by two samples: [V, 2, I].

    All rows are compared with a sample of the columns; with two sets, also with sides exchanged.
    """
    assert trials.dyads is not None
    pairs, people = trials.pairs, trials.dyads.people
    linear = LinearBins.over(pairs.scorer, None, None)
    middles = (linear.edges[1:] + linear.edges[:-1]) / 2
    tables = [value(middles).astype(np.float32) for value in values]
    turns = [(pairs.first, pairs.second, pairs.scorer)]
    if not pairs.one_set:
        turns.append((pairs.second, pairs.first, pairs.scorer.turned()))
    parts = np.zeros((len(tables), 2, people))
    for turn, (first, second, scorer) in enumerate(turns):
        height, width = scorer.shape
        order = stream(0, "sample of columns", turn).permutation(width)
        size = max(1, min(_COLUMNS, width // 2))
        for half in range(2):
            sample = np.sort(order[half * size : (half + 1) * size])
            sums, counts = np.zeros((len(tables), people)), np.zeros(people)
            for start in range(0, height, _ROWS):
                rows = slice(start, start + _ROWS)
                scores = scorer.block(rows, sample).astype(np.float32, copy=False)
                bins = linear.of(scores, scores).astype(np.int32)
                kept = _kept(first, rows, second, sample)
                if (compared := scorer.compared(rows, sample)) is not None:
                    kept *= compared
                counts += np.bincount(first.codes[rows], kept.sum(axis=1), people)
                for row, table in zip(sums, tables, strict=True):
                    by_row = np.einsum("rc,rc->r", table[bins], kept)
                    row += np.bincount(first.codes[rows], by_row, people)
            means = sums.sum(axis=1, keepdims=True) / max(counts.sum(), 1.0)
            parts[:, half] += (sums - means * counts) * (width / size / trials.impostor)
    return parts


def _kept(first: Side, rows: slice, second: Side, sample: Ints) -> Floats:
    """Return 1 where a row and a sampled column are an impostor trial, else 0."""
    kept: Bools = first.codes[rows, None] != second.codes[None, sample]
    for column in range(first.excluded.shape[1]):
        kept &= first.excluded[rows, None, column] != second.excluded[None, sample, column]
    return kept.astype(np.float32)
