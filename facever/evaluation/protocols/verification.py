"""Verification of an embedding set by a protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.verification import DEFAULT_FARS, Sample, measure_all_pairs
from facever.evaluation.overlap import Overlap, find_overlap, shared_people
from facever.evaluation.protocols.listed import listed
from facever.evaluation.protocols.lookup import kind_of
from facever.evaluation.protocols.request import ALL_PAIRS, Request
from facever.evaluation.protocols.sets import check_column, sample_of
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.trials import check_fars
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_verification(
    embeddings: EmbeddingSet,
    *,
    protocol: str | None = None,
    pairs: PairList | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    groups: Sequence[str] = (),
    cohort: Cohort | None = None,
    allow_overlap: bool = False,
    data: Path | None = None,
    level: float = 0.95,
    detail: bool = False,
) -> VerificationResult:
    """Measure verification by a protocol.

    Args:
        embeddings: The vectors, with whom they show; of images, or of templates (`template_set`).
        protocol: As for `Request`, like all that is not described here.
        pairs: See `Request`.
        far: The false accept rates at which TAR is wanted.
        similarity: See `Request`.
        exclude: See `Request`.
        groups: Columns of the rows; FMR and FNMR by their values, at one threshold (all-pairs).
        cohort: See `Request`.
        allow_overlap: See `Request`.
        data: See `Request`.
        level: Confidence of the intervals.
        detail: Also measure intervals along the curve, and look for suspected wrong names.

    Raises:
        EvaluationError: An unknown protocol, similarity or column, trials that cannot be made, or
            an overlap that the protocol forbids.
    """
    request = Request(embeddings, protocol, pairs, similarity, exclude, cohort, allow_overlap, data)
    fars = check_fars(far)
    for column in groups:
        check_column(embeddings, column)
    if request.name == ALL_PAIRS:
        result = _all_pairs(request, fars, groups, level, detail)
    elif groups:
        raise EvaluationError(f"the protocol {request.name} takes no groups")
    else:
        result = _listed(request, fars, level, detail)
    warnings = list(result.warnings)
    if request.metric != embeddings.meta.metric:
        warnings.append(
            f"scores are {request.metric}, but the model was trained to be compared by "
            f"{embeddings.meta.metric}"
        )
    if result.overlap:
        warnings.append(str(result.overlap))
    return replace(
        result,
        dataset=embeddings.meta.dataset,
        fingerprint=embeddings.meta.fingerprint,
        kind=kind_of(embeddings),
        normalisation=None if cohort is None else str(cohort),
        warnings=warnings,
    )


def _all_pairs(
    request: Request, fars: list[float], groups: Sequence[str], level: float, detail: bool
) -> VerificationResult:
    embeddings = request.embeddings
    sample = sample_of(embeddings, request.exclude)
    columns = {column: embeddings.rows[column] for column in groups}
    result = measure_all_pairs(
        sample, fars, request.metric, columns, cohort=request.cohort, level=level, detail=detail
    )
    return replace(result, overlap=_overlap_of_all_pairs(embeddings, sample))


def _listed(request: Request, fars: list[float], level: float, detail: bool) -> VerificationResult:
    scored, accuracy, overlap = listed(request, level)
    result = measure(
        scored.trials,
        fars,
        protocol=request.name,
        similarity=request.metric,
        level=level,
        detail=detail,
    )
    if scored.repeated:
        result.warnings.append(
            f"{scored.repeated} pairs stand in the list of {request.name} twice; all are counted"
        )
    return replace(result, overlap=overlap, failures=scored.failures, accuracy=accuracy)


def _overlap_of_all_pairs(embeddings: EmbeddingSet, sample: Sample) -> Overlap:
    people = sample.people[sample.acquired]
    shared = shared_people(embeddings.trained_on, people)
    share = sample.share_with(shared) if shared else None
    return find_overlap(embeddings.trained_on, people, share)
