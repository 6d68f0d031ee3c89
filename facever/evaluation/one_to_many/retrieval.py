"""Retrieval (ReID): CMC, both mean average precisions, mINP; by blocks of queries."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.similarities import Similarity, named_similarity
from facever.errors import EvaluationError
from facever.evaluation.columns import Names, comparable_column, people_column, required
from facever.evaluation.inputs import (
    Embeddings,
    as_set,
    check_column,
    shared_codes,
    vectors_for,
    where,
)
from facever.evaluation.one_to_many.by_person import person_intervals
from facever.evaluation.one_to_many.expansion import Expansion, expand_sides
from facever.evaluation.one_to_many.ranking import (
    ByScore,
    Ranking,
    Sides,
    query_ranks,
)
from facever.evaluation.one_to_many.reranking import Reranked, Reranking
from facever.evaluation.one_to_many.retrieved import RetrievalResult, measures
from facever.evaluation.one_to_many.side_templates import (
    SIDES,
    SideTemplates,
    TemplateCounts,
    pooled,
)
from facever.evaluation.overlap import find_overlap
from facever.evaluation.scoring.similarity import Ints, make_scorer
from facever.evaluation.two_sets import check_comparable, images_in_both

_MOST_RANKS = 1000
_MOST_WRONG = 50


def retrieval(
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    queries: str | Sequence[str] | None = None,
    gallery: str | Sequence[str] | None = None,
    against: Embeddings | None = None,
    camera: str | None = None,
    similarity: str | None = None,
    templates: str | SideTemplates | None = None,
    rerank: Reranking | None = None,
    expand: Expansion | None = None,
    level: float = 0.95,
) -> RetrievalResult:
    """Rank a gallery for each query.

    Rows in the result are rows of the given embeddings; for a template, the row of its first image.

    Args:
        embeddings: Queries and gallery, or queries only; as for `verification`.
        identities: [N], if `embeddings` are vectors [N, D]. A gallery row with identity "-1" is
            junk for every query.
        queries, gallery: Conditions "column=value" on the rows; see `where`. By default
            "subset=query" and "subset=gallery", and all rows if `against` is given.
        against: The gallery, if it is another set by the same model.
        camera: The column of the cross-camera rule: gallery rows with the query's identity and
            camera are junk.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        templates: Pool images into templates, compared by cosine: the column with the template
            (such as the track) of each image, or more about it. Queries and gallery are chosen
            before, by their images.
        rerank: Re-rank by k-reciprocal neighbours, after any expansion.
        expand: Expand the queries, and the gallery if set.
        level: Confidence level of the intervals, which draw the queries' people.

    Raises:
        EvaluationError: No row matches a condition, no image could be embedded, a row has no
            camera, a row is query and gallery (without a cross-camera rule, which excludes it), no
            query has a positive, the models differ, or a template has two people or cameras;
            also the input errors of `verification`.
    """
    first = as_set(embeddings, identities, similarity=similarity)
    sets = first, first if against is None else as_set(against, similarity=similarity)
    check_comparable(*sets)
    how = SideTemplates(templates) if isinstance(templates, str) else templates
    chosen = named_similarity(similarity or ("cosine" if how else first.meta.metric))
    if how is not None and chosen != "cosine":
        raise EvaluationError("templates are unit vectors: compare them by cosine")
    if against is None:
        queries, gallery = queries or "subset=query", gallery or "subset=gallery"
    rows = [
        where(side, [conditions] if isinstance(conditions, str) else conditions or [])
        for side, conditions in zip(sets, (queries, gallery), strict=True)
    ]
    held = _held(sets, rows)
    both = np.intersect1d(held[0], held[1])
    if against is None and camera is None and len(both):
        raise EvaluationError(
            f"{len(both)} images are both query and gallery, first row {both[0]}: choose queries "
            "and a gallery without common rows"
        )
    origins, counts = [np.arange(len(side)) for side in sets], None
    if how is not None:
        sets, rows, origins, counts = _pooled(sets, rows, how, camera)
        held = _held(sets, rows)
    sides = [
        side if len(part) == len(side) else side.select(part)
        for side, part in zip(sets, held, strict=True)
    ]
    names = [side.identities for side in sides]
    found = _ranked(sides, names, camera, chosen, rerank, expand, level)
    overlap = find_overlap(first.trained_on, np.unique(np.concatenate(names)), None)
    warnings = [str(overlap)] if overlap else []
    if against is not None and camera is None:
        warnings += images_in_both(sides[0], sides[1])
    lost = len(rows[0]) > len(held[0]) or len(rows[1]) > len(held[1])
    return replace(
        found,
        templates=how,
        template_counts=counts,
        each=replace(found.each, rows=origins[0][held[0]][found.each.rows]),
        first_wrong=[
            wrong._replace(
                query=int(origins[0][held[0][wrong.query]]),
                candidate=int(origins[1][held[1][wrong.candidate]]),
                right=int(origins[1][held[1][wrong.right]]),
            )
            for wrong in found.first_wrong
        ],
        failed_queries=len(rows[0]) - len(held[0]),
        failed_gallery=len(rows[1]) - len(held[1]),
        answerable=_answerable(sets, rows, camera) if lost else None,
        overlap=overlap,
        warnings=warnings,
    )


def _held(sets: Sequence[EmbeddingSet], rows: Sequence[Ints]) -> list[Ints]:
    """Return the rows of each side that have a vector."""
    held = [part[side.acquired[part]] for side, part in zip(sets, rows, strict=True)]
    for name, part in zip(("query", "gallery"), held, strict=True):
        if not len(part):
            raise EvaluationError(f"no {name} image could be embedded")
    return held


def _pooled(
    sets: Sequence[EmbeddingSet], rows: Sequence[Ints], how: SideTemplates, camera: str | None
) -> tuple[tuple[EmbeddingSet, EmbeddingSet], list[Ints], list[Ints], TemplateCounts]:
    """Return both sides, their rows, the given row of each and the counts, after pooling."""
    made = [
        pooled(side, part, how, [] if camera is None else [camera])
        if how.pools(name)
        else (side.select(part), part, None)
        for name, side, part in zip(SIDES, sets, rows, strict=True)
    ]
    one, two = (side for side, _, _ in made)
    return (
        (one, two),
        [np.arange(len(one)), np.arange(len(two))],
        [origin for _, origin, _ in made],
        TemplateCounts(*(count for _, _, count in made)),
    )


def _ranked(
    sides: Sequence[EmbeddingSet],
    names: Sequence[Names],
    camera: str | None,
    similarity: Similarity,
    rerank: Reranking | None,
    expand: Expansion | None,
    level: float,
) -> RetrievalResult:
    """Rank the rows of a gallery for each row of queries."""
    people = shared_codes(names)
    cameras = None if camera is None else _cameras(sides, camera)
    queries, gallery = (np.asarray(vectors_for(side, similarity), np.float32) for side in sides)
    scorer = make_scorer(queries, similarity, others=gallery)
    if expand is not None:
        queries, gallery = expand_sides(queries, gallery, expand, similarity)
        scorer = make_scorer(queries, similarity, others=gallery)
    ranking: Ranking = ByScore(scorer)
    if rerank is not None:
        ranking = Reranked(queries, gallery, rerank, similarity)
    compared = Sides(people[0], people[1], cameras, names[1] == "-1")
    result = ranked(ranking, compared, similarity, level)
    return replace(result, reranking=rerank, expansion=expand)


def ranked(
    ranking: Ranking, compared: Sides, similarity: Similarity | None, level: float
) -> RetrievalResult:
    """Return the measures of a ranking, without re-ranking or expansion.

    Args:
        ranking: The scores of the queries with the gallery.
        compared: The people of both sides.
        similarity: Kind of score; None for scores of another system.
        level: Confidence level of the intervals, which draw the queries' people.

    Raises:
        EvaluationError: No query has a positive.
    """
    positives = compared.positives()
    each = query_ranks(ranking, compared) if positives.any() else None
    if each is None or not len(each.rows):
        raise EvaluationError(_without_positives(compared))
    size, gallery = len(compared.queries), len(compared.gallery)
    count = len(each.rows)
    last = min(_MOST_RANKS, gallery)
    values = measures(each)
    return RetrievalResult(
        queries=count,
        without_match=size - count,
        gallery=gallery,
        cmc=np.cumsum(np.bincount(each.first, minlength=last + 1)[1 : last + 1]) / count,
        map_plain=float(each.plain.mean()),
        map_trapezoid=float(each.trapezoid.mean()),
        minp=float(each.minp.mean()),
        similarity=similarity,
        cross_camera=compared.cameras is not None,
        reranking=None,
        expansion=None,
        intervals=dict(
            zip(
                values,
                person_intervals(np.stack(list(values.values()), axis=1), each.people, level),
                strict=True,
            )
        ),
        each=each,
        own_camera_only=int(((compared.of_own_person() > 0) & (positives == 0)).sum()),
        first_wrong=sorted(each.wrong, key=lambda wrong: -wrong.score)[:_MOST_WRONG],
    )


def _cameras(sides: Sequence[EmbeddingSet], camera: str) -> tuple[Ints, Ints]:
    """Return the cameras of both sides, with common numbers."""
    named = []
    for name, side in zip(("query set", "gallery"), sides, strict=True):
        check_column(side, camera)
        column = comparable_column(side.rows[camera])
        if column.isna().all():
            raise EvaluationError(
                f"the {name} has no cameras: its column '{camera}', which the cross-camera rule "
                "needs, is empty"
            )
        named.append(column)
    one, two = shared_codes(
        [
            required(column, len(side), f"{name} cameras")
            for name, side, column in zip(("query", "gallery"), sides, named, strict=True)
        ]
    )
    return one, two


def _answerable(sets: Sequence[EmbeddingSet], rows: Sequence[Ints], camera: str | None) -> int:
    """Count the queries with a positive in the gallery, embedded or not."""
    names = [
        people_column(side.identities)[part].reset_index(drop=True)
        for side, part in zip(sets, rows, strict=True)
    ]
    known = names[1] != "-1"
    positives = _alike(names[0], names[1][known])
    if camera is not None:
        keys = [
            name + "\0" + comparable_column(side.rows[camera])[part].reset_index(drop=True)
            for name, side, part in zip(names, sets, rows, strict=True)
        ]
        positives = positives - _alike(keys[0], keys[1][known])
    return int((positives > 0).sum())


def _alike(queries: "pd.Series[str]", gallery: "pd.Series[str]") -> Ints:
    """Count the gallery's names that are equal to each query's, int64 [Q]."""
    return np.asarray(queries.map(gallery.value_counts()).fillna(0), np.int64)


def _without_positives(sides: Sides) -> str:
    """Return the reason why no query has a positive."""
    removed = sides.of_own_person()
    if removed.any() and sides.cameras is None:
        return "no query is compared with an image of its person: nothing can be ranked"
    if not removed.any():
        return "no query has a positive in the gallery: queries and gallery have no common identity"
    return (
        f"no query has a positive in the gallery: the cross-camera rule removed all "
        f"{int(removed.sum()):,} of {int((removed > 0).sum()):,} queries, which are of the "
        "query's camera: omit the camera, or give a gallery with other cameras"
    )
