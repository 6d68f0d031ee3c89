"""Confidence intervals of the AUC and of the equal error rate, which respect identities.

Both are means over the impostor trials plus means over the genuine ones, to first order. What a
person adds to the first comes from all trials where their scores are at hand. Where they are not,
it is estimated, which is our choice: all rows meet two samples of 512 others, and the product of
the two estimates has the expectation of the square of what all others would give. Only what chance
adds to single pairs of people stays in the variance twice, which makes it larger, never smaller,
and by little for hundreds of people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facever.core.seeding import stream
from facever.evaluation.scoring.dyads import DyadErrors, DyadSums
from facever.evaluation.scoring.pairwise import Bools, Side
from facever.evaluation.scoring.products import LinearBins
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials
from facever.evaluation.statistics.intervals import DyadicRate, dyadic_rate, logit_interval
from facever.evaluation.statistics.roc import Rate, Roc
from facever.operating_point import Interval

Value = Callable[[Floats | Doubles], Doubles]
_COLUMNS, _ROWS = 512, 1024
_WINDOW = 1.5  # the slopes at the EER are read between EER / 1.5 and EER · 1.5
SAMPLED = "from the trials with a sample of rows"


@dataclass(frozen=True)
class SampledRate:
    """A mean over impostor trials whose parts by person are estimated twice.

    Attributes:
        parts: float64 [2, I], what each person adds to it, by either estimate.
        people: How many people are compared with others.
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

    Each is None where the people are not known or the classes are separated. The AUC varies by
    U-statistic projections of both classes; the EER e, where falling FMR and rising FNMR cross, by
    the delta method: de = w dFMR + (1 - w) dFNMR, w = FNMR' / (FNMR' - FMR').

    Args:
        trials: Genuine and impostor trials.
        roc: Their curve.
        level: Confidence.

    Reference:
        DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988 (the parts of the AUC); the variance
        that respects people: `dyadic_rate`. That of the EER is derived here.
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
    """Return the logit interval, widened by what bins may have done to the rate.

    Args:
        rate: The rate.
        found: Its part over impostor trials.
        own: float64 [I], its part over genuine trials.
        weights: Of the two parts.
        level: Confidence.
        note: What the reader must know.
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
    # FMR falls along the curve: the places where it is around the EER
    first = int(np.searchsorted(-fmr, -middle * _WINDOW, side="left"))
    last = int(np.searchsorted(-fmr, -middle / _WINDOW, side="left"))
    first, last = min(first, at - 1), min(max(last, at), len(fmr) - 1)
    rise, fall = fnmr[last] - fnmr[max(first, 0)], fmr[max(first, 0)] - fmr[last]
    return float(roc.thresholds[at]), float(rise / (rise + fall)) if rise + fall > 0 else 0.5


def _is(holds: Callable[[Floats | Doubles], Bools]) -> Value:
    """Return a condition on scores as 0 and 1."""
    return lambda scores: holds(scores).astype(np.float64)


def _share_above(trials: Trials, roc: Roc) -> Value:
    """Return the function of a score: how many genuine scores are above it, equal ones a half."""
    return lambda scores: 1 - _passed(roc, roc.false_rejects, scores) / trials.genuine


def _share_below(trials: Trials, roc: Roc) -> Value:
    """Return the function of a score: how many impostor scores are below it, equal ones a half."""
    below = trials.impostor - roc.false_accepts
    return lambda scores: _passed(roc, below, scores) / trials.impostor


def _passed(roc: Roc, below: Ints, scores: Floats | Doubles) -> Doubles:
    """Count the scores below others, equal ones a half; within a bin, half of the bin."""
    exact = scores.astype(np.float64)
    left = np.searchsorted(roc.thresholds, exact, side="left") - 1
    right = np.searchsorted(roc.thresholds, exact, side="right") - int(roc.trials.whole)
    last = len(roc.thresholds) - 1
    return (below[np.clip(left, 0, last)] + below[np.clip(right, 0, last)]) / 2


def _own_parts(trials: Trials, values: Sequence[Value]) -> list[Doubles]:
    """Return what each person's genuine trials add to the mean of each function, float64 [I]."""
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
    """Return the means of functions over the impostor trials, with their parts by people."""
    assert trials.dyads is not None
    if isinstance(trials, StreamedTrials) and not trials.whole:
        people = int((trials.dyads.per_person > 0).sum())
        return [SampledRate(parts, people) for parts in _sampled_parts(trials, values)]
    both = trials.people_of(trials.top)
    parts = (
        DyadErrors.of(*both, trials.dyads.people, value(trials.top.scores)) for value in values
    )
    return [dyadic_rate(DyadSums.of(part, trials.dyads), trials.dyads) for part in parts]


def _sampled_parts(trials: StreamedTrials, values: Sequence[Value]) -> Doubles:
    """Return what each person adds to the mean of each function, by two samples: [V, 2, I].

    All rows meet a sample of the columns; of two sets the sides are exchanged as well.
    """
    pairs, people = trials.pairs, trials.dyads.people
    linear = LinearBins.over(pairs.scorer, None, None)
    middles = (linear.edges[1:] + linear.edges[:-1]) / 2
    tables = [value(middles).astype(np.float32) for value in values]
    turns = [(pairs.first, pairs.scorer.left, pairs.second, pairs.scorer.right)]
    if not pairs.one_set:
        turns.append((pairs.second, pairs.scorer.right, pairs.first, pairs.scorer.left))
    parts = np.zeros((len(tables), 2, people))
    for turn, (first, left, second, right) in enumerate(turns):
        order = stream(0, "sample of columns", turn).permutation(len(right))
        size = min(_COLUMNS, len(right) // 2)
        for half in range(2):
            sample = np.sort(order[half * size : (half + 1) * size])
            sums, counts = np.zeros((len(tables), people)), np.zeros(people)
            for start in range(0, len(left), _ROWS):
                rows = slice(start, start + _ROWS)
                scores = left[rows] @ right[sample].T
                bins = linear.of(scores, scores).astype(np.int32)
                kept = _kept(first, rows, second, sample)
                counts += np.bincount(first.codes[rows], kept.sum(axis=1), people)
                for row, table in zip(sums, tables, strict=True):
                    by_row = np.einsum("rc,rc->r", table[bins], kept)
                    row += np.bincount(first.codes[rows], by_row, people)
            means = sums.sum(axis=1, keepdims=True) / max(counts.sum(), 1.0)
            parts[:, half] += (sums - means * counts) * (len(right) / size / trials.impostor)
    return parts


def _kept(first: Side, rows: slice, second: Side, sample: Ints) -> Floats:
    """Return 1 where a row and a sampled column make an impostor trial."""
    kept: Bools = first.codes[rows, None] != second.codes[None, sample]
    for column in range(first.excluded.shape[1]):
        kept &= first.excluded[rows, None, column] != second.excluded[None, sample, column]
    return kept.astype(np.float32)
