"""Accuracy at thresholds that were chosen on other trials."""

import numpy as np
import numpy.typing as npt

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.counts import Accuracy
from facever.evaluation.scoring.dyads import DyadErrors
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, Numbers
from facever.evaluation.scoring.trials import ListedTrials, Trials, half_way
from facever.evaluation.statistics.distributions import student_quantile
from facever.evaluation.statistics.intervals import (
    TOO_NARROW,
    DyadicRate,
    clopper_pearson,
    fmr_interval,
    logit_interval,
)
from facever.evaluation.statistics.roc import Roc
from facever.operating_point import Interval


def best_threshold(trials: Trials) -> float:
    """Return the threshold of the highest balanced accuracy, (TAR + 1 - FAR) / 2.

    It lies half way to the next score (see `half_way`). Of several equally good thresholds, the
    middle one is returned.
    """
    roc = Roc(trials)
    balanced = -roc.false_accepts / trials.impostor - roc.false_rejects / trials.genuine
    best = np.flatnonzero(balanced == balanced.max())
    at = int(best[len(best) // 2])
    if at == 0 and len(roc.thresholds) > 1:
        return float(roc.thresholds[1]) - 1.0  # below every score: accepts all
    kind = trials.top.scores.dtype.type if trials.whole else np.float64
    score, *above = (kind(value) for value in roc.thresholds[at : at + 2])
    return half_way(score, above[0] if above else kind(np.inf))


def single_accuracy(
    scores: Floats,
    same: Bools,
    threshold: float,
    method: str,
    level: float = 0.95,
    people: tuple[Numbers, Numbers] | None = None,
) -> Accuracy:
    """Return the accuracy at one threshold.

    Args:
        scores: Float [T].
        same: Bool [T].
        threshold: Chosen on other trials.
        method: How it was chosen, for display.
        level: Confidence level of the interval, at this threshold.
        people: Integers [T] each, the two people of each trial, if known.
    """
    right: Bools = (scores > np.float64(threshold)) == same
    mean = float(right.mean())
    return Accuracy(
        mean=mean,
        standard_error=float(np.sqrt(mean * (1 - mean) / len(scores))),
        thresholds=[threshold],
        method=f"{method}; standard error binomial over {len(scores)} pairs",
        interval=clopper_pearson(int(right.sum()), len(scores), level, TOO_NARROW)
        if people is None
        else _by_people(right, *people, level),
    )


def fold_accuracy(scores: Floats, same: Bools, folds: Ints, level: float = 0.95) -> Accuracy:
    """Return the accuracy over folds, each at the best threshold of all other folds.

    The interval is Student's t over the accuracies of the folds. It assumes independent folds;
    folds of different people are independent except for the trials that set the thresholds.

    Args:
        scores: Float [T].
        same: Bool [T].
        folds: int64 [T].
        level: Confidence level of the interval.

    Raises:
        EvaluationError: There are fewer than two folds, or the other folds have one class only.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise EvaluationError(
            f"accuracy over folds needs two folds or more, the list has {len(names)}"
        )
    thresholds, shares = [], []
    for name in names:
        inside = folds == name
        threshold = best_threshold(ListedTrials(scores[~inside], same[~inside]))
        thresholds.append(threshold)
        shares.append(_share_right(scores[inside], same[inside], threshold))
    mean, error = float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(len(names)))
    reach = student_quantile((1 + level) / 2, len(names) - 1) * error
    return Accuracy(
        mean=mean,
        standard_error=error,
        thresholds=thresholds,
        method=f"each of {len(names)} folds at the threshold of the others; "
        "standard error sd(ddof 1) / sqrt(folds)",
        interval=Interval(
            low=max(0.0, mean - reach),
            high=min(1.0, mean + reach),
            level=level,
            method=f"Student t over {len(names)} folds",
        ),
    )


def _by_people(right: Bools, first: Numbers, second: Numbers, level: float) -> Interval:
    """Return the dyadic interval of a share of correct answers.

    A genuine trial counts once for its person, an impostor trial for both people; see
    `dyadic_rate`.
    """
    people = int(max(first.max(), second.max())) + 1
    mean, size = float(right.mean()), float(len(right))
    two, residuals = first != second, right - mean
    dyads = DyadErrors.of(first[two], second[two], people, residuals[two])
    ends = np.concatenate([dyads.i, dyads.j])
    found = DyadicRate(
        rate=mean,
        errors=float(right.sum()),
        trials=size,
        people=len(np.union1d(first, second)),
        per_person=np.bincount(ends, np.tile(dyads.counts, 2), people).astype(np.float64),
        squares=float(dyads.counts @ dyads.counts),
    )
    if mean in (0, 1):
        return fmr_interval(found, level)
    own = np.bincount(first[~two], residuals[~two], people) / size
    variance = max(found.variance_with(own), mean * (1 - mean) / size)
    note = f"effective trials: {mean * (1 - mean) / variance:.0f} of {size:.0f}"
    return logit_interval(mean, variance, found.people, level, "dyadic logit", note)


def _share_right(scores: Floats, same: npt.NDArray[np.bool_], threshold: float) -> float:
    return float(((scores > np.float64(threshold)) == same).mean())
