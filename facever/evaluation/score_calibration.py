"""Stored calibrations: from scores to probabilities, together with where they came from."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, FiniteFloat, model_validator

from facever.evaluation.one_to_one.likelihood import Calibration, Method
from facever.evaluation.scoring.similarity import Doubles
from facever.operating_point import Measured


class ScoreCalibration(Measured):
    """A rising map from score to probability with its provenance.

    For the 1:1 kinds it is the probability that two images, or an image and a person, show the
    same person; for "1:N" that the first candidate of a search is the right one, and the score rule
    and the number of people in the gallery belong to it. `trials` are those it was fitted on. The
    rest is as for `Measured`.

    Attributes:
        method: "logistic" (a straight line through two knots) or "isotonic" (constant beyond the
            knots, straight lines between).
        scores: The knots, ascending.
        llrs: The log-likelihood ratios there (natural logarithm), which rise with the scores.
        prior: The share of pairs of one person, or of searches whose first candidate is right,
            where the system is used.
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
            raise ValueError(f"{len(self.scores)} scores and {len(self.llrs)} llrs: one each")
        if np.any(np.diff(self.scores) <= 0):
            raise ValueError("its scores do not ascend")
        if np.any(np.diff(self.llrs) < 0):
            raise ValueError("its llrs fall: a higher score must not be less probable")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            slopes = np.diff(self.llrs) / np.diff(self.scores)
        if not np.all(np.isfinite(slopes)):
            raise ValueError("its llrs rise too steeply between two scores to compute with")
        if self.method == "logistic" and (len(self.scores) != 2 or self.llrs[0] == self.llrs[1]):
            raise ValueError("a logistic calibration is a rising line through two knots")
        return self

    def probability(self, scores: ArrayLike) -> Doubles:
        """Return the probability of each score at the stored prior, float64 like the scores."""
        knots = np.array(self.scores), np.array(self.llrs)
        return Calibration(self.method, *knots).probability(scores, self.prior)
