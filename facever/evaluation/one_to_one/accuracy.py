"""Accuracy of yes-or-no decisions, at thresholds chosen on other trials than those judged."""

import numpy as np
import numpy.typing as npt

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.result import Accuracy
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints
from facever.evaluation.scoring.trials import ListedTrials, Trials
from facever.evaluation.statistics.intervals import TOO_NARROW, clopper_pearson
from facever.evaluation.statistics.roc import Roc


def best_threshold(trials: Trials) -> float:
    """Return the threshold of the highest balanced accuracy, (TAR + 1 - FAR) / 2.

    It lies half way to the next score; of several equally good ones, the middle one is taken.
    """
    roc = Roc(trials)
    balanced = -roc.false_accepts / trials.impostor - roc.false_rejects / trials.genuine
    best = np.flatnonzero(balanced == balanced.max())
    at = int(best[len(best) // 2])
    if at == 0 and len(roc.thresholds) > 1:
        return float(roc.thresholds[1]) - 1.0  # below every score: all are accepted
    return float(roc.thresholds[at : at + 2].mean())


def single_accuracy(
    scores: Floats, same: Bools, threshold: float, method: str, level: float = 0.95
) -> Accuracy:
    """Judge trials at one threshold.

    Args:
        scores: Float [T].
        same: Bool [T].
        threshold: Chosen on other trials.
        method: How it was chosen, for the reader.
        level: Confidence of the interval.
    """
    right = int(((scores > threshold) == same).sum())
    mean = right / len(scores)
    return Accuracy(
        mean=mean,
        standard_error=float(np.sqrt(mean * (1 - mean) / len(scores))),
        thresholds=[threshold],
        method=f"{method}; standard error binomial over {len(scores)} pairs",
        interval=clopper_pearson(right, len(scores), level, TOO_NARROW),
    )


def fold_accuracy(scores: Floats, same: Bools, folds: Ints) -> Accuracy:
    """Judge each fold at the threshold that is best on all others.

    Args:
        scores: Float [T].
        same: Bool [T].
        folds: int64 [T].

    Raises:
        EvaluationError: Fewer than two folds, or others of one class only.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise EvaluationError(f"accuracy over folds needs two or more, the list has {len(names)}")
    thresholds, shares = [], []
    for name in names:
        inside = folds == name
        threshold = best_threshold(ListedTrials(scores[~inside], same[~inside]))
        thresholds.append(threshold)
        shares.append(_share_right(scores[inside], same[inside], threshold))
    return Accuracy(
        mean=float(np.mean(shares)),
        standard_error=float(np.std(shares, ddof=1) / np.sqrt(len(names))),
        thresholds=thresholds,
        method=f"each of {len(names)} folds at the threshold of the others; "
        "standard error sd(ddof 1) / sqrt(folds)",
    )


def _share_right(scores: Floats, same: npt.NDArray[np.bool_], threshold: float) -> float:
    return float(((scores > threshold) == same).mean())
