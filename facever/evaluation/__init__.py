"""From scores to rates: NumPy and pandas, no model and no image."""

from facever.evaluation.one_to_many.compared import compare_retrieval
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.identification import identification
from facever.evaluation.one_to_many.reranking import Reranking
from facever.evaluation.one_to_many.retrieval import retrieval
from facever.evaluation.one_to_one.calibration import calibrate
from facever.evaluation.one_to_one.compare import compare
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.transfer import transfer
from facever.evaluation.one_to_one.verification import Against, verification
from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.protocols.pooling import Templates, pool_templates
from facever.evaluation.protocols.templates import template_set
from facever.evaluation.score_calibration import ScoreCalibration
from facever.evaluation.scoring.normalisation import Cohort

__all__ = [
    "Against",
    "Cohort",
    "Expansion",
    "OperatingPoint",
    "Reranking",
    "ScoreCalibration",
    "Templates",
    "VerificationResult",
    "calibrate",
    "compare",
    "compare_retrieval",
    "identification",
    "pool_templates",
    "retrieval",
    "template_set",
    "transfer",
    "verification",
]
