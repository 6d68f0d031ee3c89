"""Retrieval and identification of embedding sets."""

from collections.abc import Sequence
from dataclasses import replace

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.identification import (
    DEFAULT_FPIRS,
    DEFAULT_RANKS,
    identification,
)
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.evaluation.one_to_many.reranking import Reranking
from facever.evaluation.one_to_many.retrieval import RetrievalResult, retrieval
from facever.evaluation.operating_point import OperatingPoint
from facever.evaluation.protocols.sets import check_column, vectors_for, where
from facever.evaluation.scoring.similarity import named_similarity
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_retrieval(
    embeddings: EmbeddingSet,
    queries: str = "subset=query",
    gallery: str = "subset=gallery",
    *,
    camera: str | None = None,
    similarity: str | None = None,
    rerank: Reranking | None = None,
    expand: Expansion | None = None,
) -> RetrievalResult:
    """Measure retrieval between two parts of an embedding set.

    Args:
        embeddings: Queries and gallery. The rows in `each` and `first_wrong` are theirs.
        queries, gallery: Conditions "column=value" on the rows.
        camera: The column of the cross-camera rule.
        similarity: By default the metric of the model's head.
        rerank, expand: As in `retrieval`.

    Raises:
        EvaluationError: No rows meet a condition, none of them could be embedded, rows without a
            camera, and what `retrieval` raises.
    """
    chosen = named_similarity(similarity or embeddings.meta.metric)
    rows = [where(embeddings, [condition]) for condition in (queries, gallery)]
    held = [part[embeddings.acquired[part]] for part in rows]
    for name, part in (("query", held[0]), ("gallery", held[1])):
        if not len(part):
            raise EvaluationError(f"no {name} image could be embedded")
    sides = [embeddings.select(part) for part in held]
    if camera is not None:
        check_column(embeddings, camera)
        for name, side in zip(("query set", "gallery"), sides, strict=True):
            if side.rows[camera].isna().all():
                raise EvaluationError(
                    f"the {name} has no cameras: its rows have nothing in the column '{camera}', "
                    "so that the cross-camera rule cannot be kept"
                )
    found = retrieval(
        vectors_for(sides[0], chosen),
        sides[0].identities,
        vectors_for(sides[1], chosen),
        sides[1].identities,
        query_cameras=None if camera is None else sides[0].rows[camera],
        gallery_cameras=None if camera is None else sides[1].rows[camera],
        similarity=chosen,
        rerank=rerank,
        expand=expand,
    )
    return replace(
        found,
        each=replace(found.each, rows=held[0][found.each.rows]),
        first_wrong=[
            wrong._replace(
                query=int(held[0][wrong.query]),
                candidate=int(held[1][wrong.candidate]),
                right=int(held[1][wrong.right]),
            )
            for wrong in found.first_wrong
        ],
        failed_queries=len(rows[0]) - len(held[0]),
        failed_gallery=len(rows[1]) - len(held[1]),
    )


def evaluate_identification(
    probes: EmbeddingSet,
    gallery: EmbeddingSet,
    *,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    rule: str = "max",
    similarity: str | None = None,
    operating_points: Sequence[OperatingPoint] = (),
) -> IdentificationResult:
    """Measure open-set identification of one embedding set in another.

    Raises:
        EvaluationError: Sets or an operating point of another model, and what `identification`
            raises.
    """
    require_one_model(probes, gallery)
    for point in operating_points:
        if point.fingerprint != gallery.meta.fingerprint:
            raise EvaluationError(
                f"the operating point is of fingerprint {point.fingerprint}, the gallery of "
                f"{gallery.meta.fingerprint}: measure one on this model's own scores"
            )
    chosen = named_similarity(similarity or gallery.meta.metric)
    return identification(
        vectors_for(probes, chosen),
        probes.identities,
        vectors_for(gallery, chosen),
        gallery.identities,
        fpir=fpir,
        ranks=ranks,
        rule=rule,
        similarity=chosen,
        operating_points=operating_points,
        probe_acquired=probes.acquired,
        gallery_acquired=gallery.acquired,
    )


def require_one_model(probes: EmbeddingSet, gallery: EmbeddingSet) -> None:
    """Refuse probes and a gallery of two models."""
    if probes.meta.fingerprint != gallery.meta.fingerprint:
        raise EvaluationError(
            f"probes and gallery are of two models ({probes.meta.fingerprint[:12]}, "
            f"{gallery.meta.fingerprint[:12]}): embed both with one"
        )
