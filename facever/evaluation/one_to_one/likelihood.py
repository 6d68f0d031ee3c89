"""Log-likelihood ratios: maps from scores to ratios, and their cost.

Reference:
    Brümmer and du Preez, Application-independent evaluation of speaker detection, Computer Speech
    and Language 20, 2006 (Cllr and its minimum by pool adjacent violators).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from facever.errors import EvaluationError, unknown
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.scoring.trials import check_both_classes

Method = Literal["logistic", "isotonic"]
METHODS: tuple[Method, ...] = ("logistic", "isotonic")


@dataclass(frozen=True)
class Calibration:
    """An increasing map from score to log-likelihood ratio (natural logarithm), without a prior.

    Attributes:
        method: "logistic" (a straight line) or "isotonic" (steps).
        scores: float64 [K], ascending; two for the line.
        llrs: float64 [K], the log-likelihood ratios there; interpolated linearly in between.
    """

    method: Method
    scores: Doubles
    llrs: Doubles

    def llr(self, scores: ArrayLike) -> Doubles:
        """Return the log-likelihood ratio of each score."""
        values = np.asarray(scores, np.float64)
        if self.method == "logistic":
            slope = (self.llrs[1] - self.llrs[0]) / (self.scores[1] - self.scores[0])
            return np.asarray(self.llrs[0] + slope * (values - self.scores[0]))
        return np.interp(values, self.scores, self.llrs)

    def probability(self, scores: ArrayLike, prior: float) -> Doubles:
        """Return the probability that a pair is genuine.

        Args:
            scores: Float [T].
            prior: Share of genuine pairs in operation, between 0 and 1.
        """
        if not 0 < prior < 1:
            raise EvaluationError(f"a prior of {prior} is not between 0 and 1")
        from scipy.special import expit, logit  # takes 0.1 s to import

        return np.asarray(expit(self.llr(scores) + logit(prior)))


def fit(scores: npt.NDArray[np.floating], same: Bools, method: str = "logistic") -> Calibration:
    """Fit a calibration.

    Args:
        scores: Float [T].
        same: Bool [T].
        method: "logistic", without a penalty, or "isotonic", which pools adjacent violators with
            one trial of each class added beyond either end, so that no ratio is infinite (from
            memory of Brümmer's toolkits). Both remove the odds of the trials.

    Raises:
        EvaluationError: The method is unknown, there is one class only, genuine scores are not
            above impostor scores, or, for "logistic", the classes do not overlap (no finite maximum
            likelihood).
    """
    check_both_classes(int(same.sum()), int((~same).sum()))
    odds = np.log(same.sum() / (~same).sum())
    if method == "logistic":
        if scores[same].min() > scores[~same].max():
            raise EvaluationError(
                "logistic calibration is not possible: every genuine score is above every impostor "
                "score; use the method isotonic"
            )
        # without a penalty and standardised, so that the result depends on the scores only
        centre, scale = float(scores.mean()), float(scores.std()) or 1.0
        intercept, slope = _logistic_regression((scores.astype(np.float64) - centre) / scale, same)
        if slope <= 0:
            raise EvaluationError(
                "calibration is not possible: genuine scores are not above impostor scores"
            )
        ends = np.array([centre - scale, centre + scale])
        llrs = intercept + slope * np.array([-1.0, 1.0]) - odds
        return Calibration("logistic", ends, llrs)
    if method == "isotonic":
        # one trial of each class beyond either end: ratios stay finite
        ends = np.repeat([-np.inf, np.inf], 2)
        values, shares, _ = _pooled(
            np.concatenate([ends, scores]), np.concatenate([[False, True, False, True], same])
        )
        return Calibration("isotonic", values[1:-1], _logit(shares[1:-1]) - odds)
    raise EvaluationError(unknown("calibration method", method, METHODS))


def cllr(llrs: Doubles, same: Bools) -> float:
    """Return the log-likelihood-ratio cost in bits.

    Cllr = [mean log2(1 + e^-llr) over genuine + mean log2(1 + e^llr) over impostor trials] / 2.
    """
    genuine = np.logaddexp(0, -llrs[same]).mean()
    impostor = np.logaddexp(0, llrs[~same]).mean()
    return float((genuine + impostor) / 2 / np.log(2))


def cllr_min(scores: npt.NDArray[np.floating], same: Bools) -> float:
    """Return the Cllr of the best increasing map of the scores (pool adjacent violators)."""
    _, shares, (genuine, impostor) = _pooled(scores, same)
    llrs = _logit(shares) - np.log(same.sum() / (~same).sum())
    with np.errstate(invalid="ignore"):  # 0 trials at an infinite ratio cost nothing
        costs = [
            np.where(counts > 0, counts * np.logaddexp(0, sign * llrs), 0.0).sum() / counts.sum()
            for counts, sign in ((genuine, -1), (impostor, 1))
        ]
    return float(sum(costs) / 2 / np.log(2))


def _pooled(
    scores: npt.NDArray[np.floating], same: Bools
) -> tuple[Doubles, Doubles, tuple[Ints, Ints]]:
    """Return distinct scores, the isotonic share of genuine trials at each, and the counts."""
    from scipy.optimize import isotonic_regression  # takes 0.2 s to import

    values, at = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    genuine = np.bincount(at, weights=same, minlength=len(values))
    impostor = np.bincount(at, weights=~same, minlength=len(values))
    fitted = isotonic_regression(genuine / (genuine + impostor), weights=genuine + impostor)
    return values, fitted.x, (genuine.astype(np.int64), impostor.astype(np.int64))


def _logistic_regression(values: Doubles, same: Bools) -> tuple[float, float]:
    """Return the intercept and slope of the greatest likelihood, by Newton's method.

    It ends where the mean gradient is below 1e-10, which it also is where no finite maximum exists:
    the slope is then large.

    Args:
        values: Float [T], standardised.
        same: Bool [T], with both classes.

    Reference:
        McCullagh and Nelder, Generalized Linear Models, 1989, section 4.4 (Newton's method is
        Fisher scoring here).
    """
    from scipy.special import expit  # takes 0.1 s to import

    design = np.stack([np.ones_like(values), values])
    weights = np.array([np.log(same.sum() / (~same).sum()), 0.0])
    best = _log_loss(weights @ design, same)
    for _ in range(100):
        chances = expit(weights @ design)
        gradient = design @ (chances - same) / len(same)
        if np.abs(gradient).max() < 1e-10:
            break
        curvature = (design * (chances * (1 - chances))) @ design.T / len(same)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        while (loss := _log_loss((weights - step) @ design, same)) > best and step.any():
            step = step / 2  # a whole step can be too far
        weights, best = weights - step, loss
    return float(weights[0]), float(weights[1])


def _log_loss(logits: Doubles, same: Bools) -> float:
    return float(np.logaddexp(0, np.where(same, -logits, logits)).mean())


def _logit(shares: Doubles) -> Doubles:
    from scipy.special import logit

    with np.errstate(divide="ignore"):
        return np.asarray(logit(shares))
