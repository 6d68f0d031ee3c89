"""Calibration of an embedding set: on all its pairs, or on those of a list."""

from dataclasses import replace
from pathlib import Path

from facever.data.pairs import PairList
from facever.evaluation.one_to_one.calibration import (
    CalibrationResult,
    JudgedTrials,
    calibrate,
    calibrate_trials,
)
from facever.evaluation.overlap import Overlap, find_overlap
from facever.evaluation.protocols.listed import listed
from facever.evaluation.protocols.lookup import kind_of, templates_of
from facever.evaluation.protocols.request import Request
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_calibration(
    embeddings: EmbeddingSet,
    *,
    method: str = "logistic",
    similarity: str | None = None,
    pairs: PairList | str | Path | None = None,
    prior: float | None = None,
    level: float = 0.95,
) -> CalibrationResult:
    """Fit and judge a calibration on the rows that could be embedded, of different people.

    Args:
        embeddings: Images or templates.
        method: "logistic" or "isotonic".
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        pairs: A pair list or its file; all pairs without one.
        prior: As for `calibrate`.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: What `calibrate` and the list raise.
    """
    request = Request(embeddings, pairs=pairs, similarity=similarity)
    if pairs is not None:
        scored, _, overlap = listed(request, accuracy=False)
        trials = JudgedTrials(scored.scores, scored.same, scored.codes)
        result = calibrate_trials(trials, method=method, prior=prior, level=level)
        return _known(replace(result, similarity=request.metric), embeddings, overlap)
    held = embeddings.select(embeddings.acquired)
    result = calibrate(
        held.vectors,
        held.identities,
        method=method,
        similarity=request.metric,
        norms=held.rows["norm"],
        prior=prior,
        level=level,
    )
    return _known(result, embeddings, find_overlap(held.trained_on, held.identities, None))


def _known(
    result: CalibrationResult, embeddings: EmbeddingSet, overlap: Overlap
) -> CalibrationResult:
    """Return a result with what is known of the embeddings that it was measured on."""
    return replace(
        result,
        kind=kind_of(embeddings),
        templates=templates_of(embeddings),
        dataset=embeddings.meta.dataset,
        fingerprint=embeddings.meta.fingerprint,
        warnings=[str(overlap)] if overlap else [],
    )
