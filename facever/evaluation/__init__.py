"""From scores to rates: NumPy and pandas, no model and no image."""

from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.result import VerificationResult
from facever.evaluation.verification import verification

__all__ = ["OperatingPoint", "VerificationResult", "verification"]
