"""From scores to rates: NumPy and pandas, no model and no image."""

from facever.evaluation.compare import compare
from facever.evaluation.identification import identification
from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.result import VerificationResult
from facever.evaluation.retrieval import retrieval
from facever.evaluation.verification import verification

__all__ = [
    "OperatingPoint",
    "VerificationResult",
    "compare",
    "identification",
    "retrieval",
    "verification",
]
