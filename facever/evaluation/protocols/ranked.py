"""Retrieval and identification of embedding sets."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.errors import EvaluationError
from facever.evaluation.columns import people_column, text_column
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
from facever.evaluation.overlap import Overlap, find_overlap
from facever.evaluation.policies import ALL, make_templates
from facever.evaluation.protocols.sets import check_column, vectors_for, where
from facever.evaluation.protocols.two_sets import images_in_both
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints, Similarity, named_similarity
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_retrieval(
    embeddings: EmbeddingSet,
    queries: str | Sequence[str] = "subset=query",
    gallery: str | Sequence[str] = "subset=gallery",
    *,
    camera: str | None = None,
    similarity: str | None = None,
    rerank: Reranking | None = None,
    expand: Expansion | None = None,
) -> RetrievalResult:
    """Measure retrieval between two parts of an embedding set.

    Args:
        embeddings: Queries and gallery. The rows in `each` and `first_wrong` are theirs.
        queries, gallery: Conditions "column=value" on the rows; see `where`.
        camera: The column of the cross-camera rule.
        similarity: By default the metric of the model's head.
        rerank, expand: As in `retrieval`.

    Raises:
        EvaluationError: No rows meet a condition, none of them could be embedded, rows without a
            camera, rows that are query and gallery both (but for the cross-camera rule, which
            leaves them out), and what `retrieval` raises.
    """
    chosen = named_similarity(similarity or embeddings.meta.metric)
    rows = [
        where(embeddings, [conditions] if isinstance(conditions, str) else conditions)
        for conditions in (queries, gallery)
    ]
    held = [part[embeddings.acquired[part]] for part in rows]
    for name, part in (("query", held[0]), ("gallery", held[1])):
        if not len(part):
            raise EvaluationError(f"no {name} image could be embedded")
    sides = [embeddings.select(part) for part in held]
    both = np.intersect1d(held[0], held[1])
    if camera is None and len(both):
        raise EvaluationError(
            f"{len(both)} images are query and gallery both, first row {both[0]}: each would find "
            "itself; choose queries and a gallery without common rows"
        )
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
    overlap = _overlap(*sides)
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
        answerable=None
        if embeddings.acquired[np.concatenate(rows)].all()
        else _answerable(embeddings, rows[0], rows[1], camera),
        overlap=overlap,
        warnings=[str(overlap)] if overlap else [],
    )


def _answerable(embeddings: EmbeddingSet, queries: Ints, gallery: Ints, camera: str | None) -> int:
    """Count the queries that have a positive in the gallery, embedded or not."""
    people = people_column(embeddings.identities)
    gallery = gallery[people.to_numpy()[gallery] != "-1"]
    positives = _alike(people, queries, gallery)
    if camera is not None:
        keys = people + "\0" + text_column(embeddings.rows[camera])
        positives = positives - _alike(keys, queries, gallery)
    return int((positives > 0).sum())


def _alike(names: "pd.Series[str]", queries: Ints, gallery: Ints) -> Ints:
    """Count the rows of the gallery that agree with each query, int64 [Q]."""
    counts = names[gallery].value_counts()
    return np.asarray(names[queries].map(counts).fillna(0), np.int64)


def _overlap(first: EmbeddingSet, second: EmbeddingSet) -> Overlap:
    """Return the people of two sets whom the model was trained on."""
    people = {*first.identities.tolist(), *second.identities.tolist()}
    return find_overlap(first.trained_on, people, None)


def evaluate_identification(
    probes: EmbeddingSet,
    gallery: EmbeddingSet,
    *,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    rule: str = "max",
    similarity: str | None = None,
    operating_points: Sequence[OperatingPoint] = (),
    templates: str = ALL,
    calibrate: str | None = None,
    prior: float | None = None,
) -> IdentificationResult:
    """Measure open-set identification of one embedding set in another.

    Args:
        probes: Who is searched for.
        gallery: The images of those enrolled.
        fpir: As in `identification`, like all that is not described here.
        ranks: See there.
        rule: See there.
        similarity: By default the metric of the model's head, or the cosine of templates.
        operating_points: See there.
        templates: A gallery's template policy: people are compared by what it makes of their
            images.
        calibrate: See there.
        prior: See there.

    Raises:
        EvaluationError: Sets or an operating point of another model, templates that are not
            compared by cosine or that the policy cannot make, and what `identification` raises.
    """
    require_one_model(probes, gallery)
    for point in operating_points:
        if point.fingerprint != gallery.meta.fingerprint:
            raise EvaluationError(
                f"the operating point is of fingerprint {point.fingerprint}, the gallery of "
                f"{gallery.meta.fingerprint}: measure one on this model's own scores"
            )
    by_default = gallery.meta.metric if templates == ALL else "cosine"
    chosen = named_similarity(similarity or by_default)
    people, people_vectors, enrolled = _enrolled(gallery, templates, chosen)
    found = identification(
        vectors_for(probes, chosen),
        probes.identities,
        people_vectors,
        people,
        fpir=fpir,
        ranks=ranks,
        rule=rule,
        similarity=chosen,
        operating_points=operating_points,
        probe_acquired=probes.acquired,
        gallery_acquired=enrolled,
        templates=templates,
        calibrate=calibrate,
        prior=prior,
    )
    same = images_in_both(probes, gallery)
    overlap = _overlap(probes, gallery)
    warnings = [*found.warnings, *([str(overlap)] if overlap else []), *([same] if same else [])]
    fitted = found.calibration
    if fitted is not None:
        meta = gallery.meta
        fitted = replace(fitted, dataset=meta.dataset, fingerprint=meta.fingerprint)
    return replace(found, overlap=overlap, warnings=warnings, calibration=fitted)


def _enrolled(
    gallery: EmbeddingSet, templates: str, similarity: Similarity
) -> tuple[npt.NDArray[np.str_], Floats, Bools]:
    """Return the identity, vector and acquisition of each template of a gallery.

    A person without any vector keeps one row, which failed.
    """
    if templates == ALL:
        return gallery.identities, vectors_for(gallery, similarity), gallery.acquired
    if similarity != "cosine":
        raise EvaluationError("templates are unit vectors: compare them by cosine")
    codes, names = pd.factorize(people_column(gallery.identities), sort=True)
    held = gallery.acquired
    owners, vectors = make_templates(
        gallery.vectors[held], codes[held], templates, gallery.rows["norm"].to_numpy()[held]
    )
    lost = np.setdiff1d(codes, owners)
    everyone = np.concatenate([owners, lost])
    blank = np.zeros((len(lost), gallery.vectors.shape[1]), np.float32)
    return (
        np.asarray(names, str)[everyone],
        np.concatenate([vectors, blank]),
        np.arange(len(everyone)) < len(owners),
    )


def require_one_model(probes: EmbeddingSet, gallery: EmbeddingSet) -> None:
    """Refuse probes and a gallery of two models."""
    if probes.meta.fingerprint != gallery.meta.fingerprint:
        raise EvaluationError(
            f"probes and gallery are of two models ({probes.meta.fingerprint[:12]}, "
            f"{gallery.meta.fingerprint[:12]}): embed both with one"
        )
