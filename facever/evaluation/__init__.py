"""From scores to rates: NumPy and pandas, no model and no image.

The public names are imported on first use: whoever wants an operating point needs no evaluation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Against": "one_to_one.verification",
    "Cohort": "scoring.normalisation",
    "Expansion": "one_to_many.expansion",
    "OperatingPoint": "operating_point",
    "Reranking": "one_to_many.reranking",
    "ScoreCalibration": "score_calibration",
    "Templates": "protocols.pooling",
    "VerificationResult": "one_to_one.result",
    "calibrate": "one_to_one.calibration",
    "compare": "one_to_one.compare",
    "compare_retrieval": "one_to_many.compared",
    "identification": "one_to_many.identification",
    "pool_templates": "protocols.pooling",
    "retrieval": "one_to_many.retrieval",
    "template_set": "protocols.templates",
    "transfer": "one_to_one.transfer",
    "verification": "one_to_one.verification",
}

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


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
