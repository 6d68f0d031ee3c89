"""Stored calibrations: from scores to probabilities, with their provenance."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, FiniteFloat, model_validator

from facever.evaluation.one_to_one.likelihood import Calibration, Method
from facever.evaluation.scoring.similarity import Doubles
from facever.operating_point import Measured


class ScoreCalibration(Measured):
    """An increasing map from score to probability, with its provenance.

    For the 1:1 kinds it is the probability that two images, or an image and a person, show the
    same person. For "1:N" it is the probability that the first candidate of a search is correct;
    score rule and gallery size are part of it. `trials` are those of the fit. The rest is as for
    `Measured`.

    Attributes:
        method: "logistic" (a straight line through two knots) or "isotonic" (constant beyond the
            knots, straight lines between).
        scores: The knots, ascending.
        llrs: The log-likelihood ratios there (natural logarithm), which increase with the scores.
        prior: Share of genuine pairs, or of searches whose first candidate is correct, in
            operation.
    """

    what = "calibration"
    a_what = "a calibration"

    method: Method
    scores: tuple[FiniteFloat, ...]
    llrs: tuple[FiniteFloat, ...]
    prior: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _check_map(self) -> Self:
        if len(self.scores) != len(self.llrs) or not self.scores:
            raise ValueError(
                f"{len(self.scores)} scores and {len(self.llrs)} llrs: give one llr for each score"
            )
        if np.any(np.diff(self.scores) <= 0):
            raise ValueError("scores must be in ascending order")
        if np.any(np.diff(self.llrs) < 0):
            raise ValueError("llrs must not decrease with the scores")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            slopes = np.diff(self.llrs) / np.diff(self.scores)
        if not np.all(np.isfinite(slopes)):
            raise ValueError("llrs increase too steeply between two scores (overflow)")
        if self.method == "logistic" and (len(self.scores) != 2 or self.llrs[0] == self.llrs[1]):
            raise ValueError("a logistic calibration must be an increasing line with two knots")
        return self

    def probability(self, scores: ArrayLike) -> Doubles:
        """Return the probability of each score at the stored prior, float64, same shape."""
        knots = np.array(self.scores), np.array(self.llrs)
        return Calibration(self.method, *knots).probability(scores, self.prior)
