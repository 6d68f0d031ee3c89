"""Thresholds of one embedding set, or of an operating point's file, on another set."""

from collections.abc import Sequence
from pathlib import Path

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column
from facever.evaluation.one_to_one.transfer import TransferResult, check_points, realised
from facever.evaluation.one_to_one.verification import DEFAULT_FARS
from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.protocols.judged import judged
from facever.evaluation.protocols.lookup import kind_of
from facever.evaluation.protocols.request import Request
from facever.evaluation.protocols.verification import evaluate_verification
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_transfer(
    source: OperatingPoint | EmbeddingSet,
    target: EmbeddingSet,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
) -> TransferResult:
    """Apply thresholds to another set and state the rates that they really have there.

    Args:
        source: An operating point, or the set on all of whose pairs thresholds are chosen.
        target: The set that they are applied to, by the same model.
        far: The false accept rates that thresholds are chosen for, where the source is a set.
        protocol: The target's, as for `Request`, like all that is not described here.
        pairs: See `Request`.
        similarity: Where the source is a set; a point has its own.
        exclude: See `Request`; of a source that is a set too.
        allow_overlap: See `Request`.
        data: See `Request`.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: Another model, another kind (images, templates), no FAR that the source
            supports, and what the protocol raises.
    """
    points, warnings = _points(source, far, similarity, exclude, level)
    metric = check_points(points)
    for point in points:
        _check_fit(point, target)
    if points[0].fingerprint is None:
        warnings.append("the operating point does not say of which model it is")
    warnings += _shared(source, target)
    request = Request(
        target,
        protocol,
        pairs,
        metric,
        exclude=exclude,
        allow_overlap=allow_overlap,
        data=data,
    )
    rates = [point.target_rate for point in points]
    found = judged(request, rates, level, accuracy=False)
    if found.overlap:
        warnings.append(str(found.overlap))
    there = [realised(found.trials, point, level) for point in points]
    return TransferResult(
        there[0].trials, there, request.name, target.meta.dataset, found.failures, warnings
    )


def _points(
    source: OperatingPoint | EmbeddingSet,
    far: Sequence[float],
    similarity: str | None,
    exclude: Sequence[str],
    level: float,
) -> tuple[list[OperatingPoint], list[str]]:
    """Return the operating points, and what was refused on the way to them."""
    if isinstance(source, OperatingPoint):
        return [source], []
    measured = evaluate_verification(
        source, far=far, similarity=similarity, exclude=exclude, level=level
    )
    refused = [
        f"FAR {one.far_target:g} is left out: the source has {measured.trials.impostor:,} impostor "
        f"trials and it needs {one.needs:,}"
        for one in measured.refused
    ]
    if not measured.operating_points:
        raise EvaluationError(f"no threshold to transfer: {'; '.join(refused)}")
    rates = [point.far_target for point in measured.operating_points]
    return [measured.operating_point(rate) for rate in rates], refused


def _check_fit(point: OperatingPoint, target: EmbeddingSet) -> None:
    if point.kind != kind_of(target):
        raise EvaluationError(
            f"the operating point is of kind {point.kind}, the embeddings of kind "
            f"{kind_of(target)}: images and templates have thresholds of their own"
        )
    if point.fingerprint not in (None, target.meta.fingerprint):
        raise EvaluationError(
            f"the operating point is of fingerprint {point.fingerprint}, the embeddings of "
            f"{target.meta.fingerprint}: a threshold holds for one model"
        )


def _shared(source: OperatingPoint | EmbeddingSet, target: EmbeddingSet) -> list[str]:
    if isinstance(source, OperatingPoint):
        if not source.dataset or source.dataset != target.meta.dataset:
            return []
        return [
            f"the operating point was set on {source.dataset} too: rates on the people by whom a "
            "threshold was chosen flatter"
        ]
    one, two = (set(people_column(side.identities)) for side in (source, target))
    shared = sorted(one & two)
    if not shared:
        return []
    return [
        f"{len(shared)} people are in both sets, first {shared[0]}: the thresholds were chosen on "
        "them too"
    ]
