"""Evaluation: one function for each question.

    facever.evaluate.verification(faces, far=[1e-3])        # 1:1: error rates of thresholds
    facever.evaluate.scores(scores, labels)                 # the same on scores of any system
    facever.evaluate.identification(probes, gallery)        # 1:N, open set
    facever.evaluate.ijb_identification(faces)              # IJB's 1:N: two galleries, their mean
    facever.evaluate.identification_scores("scores.txt")    # the same on scores of any system
    facever.evaluate.retrieval(faces, camera="camera")      # rankings: CMC, mAP, mINP
    facever.evaluate.compare(first, second)                 # differences of two models
    facever.evaluate.calibrate(faces)                       # from scores to probabilities
    facever.evaluate.transfer(point, faces)                 # a threshold on other people

Embeddings are an EmbeddingSet, a mapping of columns (`vectors`, `identity`, `norm`, `acquired` and
any other), or plain vectors with identities. Fingerprint, data set and people of the training are
recorded in the result if they are known. Names are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facever.evaluation.inputs import Embeddings, cohort_of, rows_where
    from facever.evaluation.one_to_many.compared import compare_retrieval
    from facever.evaluation.one_to_many.expansion import Expansion
    from facever.evaluation.one_to_many.identification import identification
    from facever.evaluation.one_to_many.ijb import ijb_identification
    from facever.evaluation.one_to_many.reranking import Reranking
    from facever.evaluation.one_to_many.retrieval import retrieval
    from facever.evaluation.one_to_many.score_search import (
        identification_scores,
        retrieval_scores,
    )
    from facever.evaluation.one_to_many.side_templates import SideTemplates
    from facever.evaluation.one_to_one.calibration import calibrate
    from facever.evaluation.one_to_one.compare import compare
    from facever.evaluation.one_to_one.score_table import calibrate_scores, scores
    from facever.evaluation.one_to_one.transfer import transfer
    from facever.evaluation.one_to_one.verification import verification
    from facever.evaluation.pooling import Templates, pool_templates
    from facever.evaluation.protocols.templates import template_set
    from facever.evaluation.scoring.normalisation import Cohort
    from facever.evaluation.two_sets import same_images

_HOMES = {
    "Cohort": "scoring.normalisation",
    "Embeddings": "inputs",
    "Expansion": "one_to_many.expansion",
    "Reranking": "one_to_many.reranking",
    "SideTemplates": "one_to_many.side_templates",
    "Templates": "pooling",
    "calibrate": "one_to_one.calibration",
    "calibrate_scores": "one_to_one.score_table",
    "cohort_of": "inputs",
    "compare": "one_to_one.compare",
    "compare_retrieval": "one_to_many.compared",
    "identification": "one_to_many.identification",
    "identification_scores": "one_to_many.score_search",
    "ijb_identification": "one_to_many.ijb",
    "pool_templates": "pooling",
    "retrieval": "one_to_many.retrieval",
    "retrieval_scores": "one_to_many.score_search",
    "rows_where": "inputs",
    "same_images": "two_sets",
    "scores": "one_to_one.score_table",
    "template_set": "protocols.templates",
    "transfer": "one_to_one.transfer",
    "verification": "one_to_one.verification",
}

__all__ = [
    "Cohort",
    "Embeddings",
    "Expansion",
    "Reranking",
    "SideTemplates",
    "Templates",
    "calibrate",
    "calibrate_scores",
    "cohort_of",
    "compare",
    "compare_retrieval",
    "identification",
    "identification_scores",
    "ijb_identification",
    "pool_templates",
    "retrieval",
    "retrieval_scores",
    "rows_where",
    "same_images",
    "scores",
    "template_set",
    "transfer",
    "verification",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"facever.evaluation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'facever.evaluate' has no attribute {name!r}")
