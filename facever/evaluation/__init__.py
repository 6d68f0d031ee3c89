"""Evaluation: from scores to error rates, with NumPy and pandas; no models, no images.

The public functions are those of `facever.evaluate`.
"""

from facever.deprecated import Former, former_names

_CHANGED = ("calibrate", "compare", "identification", "retrieval", "transfer", "verification")
_SAME = {
    "Cohort": "scoring.normalisation",
    "Expansion": "one_to_many.expansion",
    "Reranking": "one_to_many.reranking",
    "Templates": "pooling",
    "compare_retrieval": "one_to_many.compared",
    "pool_templates": "pooling",
    "template_set": "protocols.templates",
}

__getattr__ = former_names(
    __name__,
    {
        **{
            name: Former(f"facever.evaluation.former:{name}", f"facever.evaluate.{name}")
            for name in _CHANGED
        },
        **{
            name: Former(f"facever.evaluation.{home}:{name}", f"facever.evaluate.{name}")
            for name, home in _SAME.items()
        },
        "Against": Former(
            "facever.evaluation.former:Against",
            "a mapping of columns: facever.evaluate.verification(..., against={'vectors': ...})",
        ),
        "OperatingPoint": Former(
            "facever.operating_point:OperatingPoint", "facever.OperatingPoint"
        ),
        "ScoreCalibration": Former(
            "facever.evaluation.score_calibration:ScoreCalibration",
            "facever.evaluation.score_calibration.ScoreCalibration",
        ),
        "VerificationResult": Former(
            "facever.evaluation.one_to_one.verified:VerificationResult",
            "facever.evaluation.one_to_one.verified.VerificationResult",
        ),
    },
)
