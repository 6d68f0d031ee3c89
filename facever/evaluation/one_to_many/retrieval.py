"""Retrieval (ReID): CMC, both mean average precisions, mINP; by blocks of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.embeddings.similarities import named_similarity
from facever.errors import EvaluationError
from facever.evaluation.cells import interval_notes, level_of, rate_and_interval
from facever.evaluation.columns import Names, people_column, required, text_column
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
    QueryRanks,
    Ranking,
    Sides,
    WrongFirst,
    query_ranks,
    shown_ranks,
)
from facever.evaluation.one_to_many.reranking import Reranked, Reranking
from facever.evaluation.overlap import Overlap
from facever.evaluation.scoring.similarity import Doubles, Ints, make_scorer
from facever.operating_point import Interval
from facever.render import figures
from facever.render.blocks import (
    Block,
    Cell,
    Comparison,
    Comparisons,
    Drawing,
    Facts,
    Figure,
    Note,
    Picture,
    Section,
    Table,
)
from facever.render.numbers import rate, score
from facever.render.result import Result
from facever.render.svg import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.similarities import Similarity
from facever.evaluation.overlap import find_overlap
from facever.evaluation.two_sets import check_comparable, images_in_both

DEFAULT_RANKS = (1, 5, 10, 20)
MEASURES = ("map_plain", "map_trapezoid", "minp")
_BAND = (1, 2, 5, 10, 20, 50, 100)  # the ranks of the CMC that have intervals
_MOST_RANKS = 1000
_MOST_WRONG = 50
_SHOWN_WRONG = 12


@dataclass(frozen=True)
class RetrievalResult(Result):
    """What was retrieved. It holds no threshold: a ranking is no verification.

    Attributes:
        queries: How many queries have a positive in the gallery.
        without_match: How many have none; they are left out.
        gallery: Rows of the gallery.
        cmc: float64 [R], the share of queries whose first positive is among the first r.
        map_plain: Mean over queries of mean_j j / r_j.
        map_trapezoid: The official Market-1501 form, averaging precision before and at each
            positive.
        minp: Mean over queries of P / r_P, P positives, the last at rank r_P.
        similarity: What the original scores are.
        cross_camera: Whether positives of the query's own camera were left out.
        reranking, expansion: How the ranking was changed, or None.
        intervals: Of "rank 1", "rank 2" and so on, "map_plain", "map_trapezoid" and "minp".
        each: What each query reached.
        first_wrong: Queries whose first candidate is wrong, highest scores first, at most 50. A
            re-ranked score is minus the final distance.
        failed_queries, failed_gallery: Images that could not be embedded; they are left out.
        answerable: How many queries would have a positive, had every image been embedded; None
            where none failed.
        own_camera_only: How many of the queries without a positive have some by their own camera,
            which the cross-camera rule removed.
        overlap: The people of both sides whom the model was trained on, where that was looked up.
        warnings: What the reader must know.
    """

    queries: int
    without_match: int
    gallery: int
    cmc: Doubles
    map_plain: float
    map_trapezoid: float
    minp: float
    similarity: str
    cross_camera: bool
    reranking: Reranking | None
    expansion: Expansion | None
    intervals: dict[str, Interval]
    each: QueryRanks
    first_wrong: list[WrongFirst] = field(default_factory=list)
    failed_queries: int = 0
    failed_gallery: int = 0
    answerable: int | None = None
    own_camera_only: int = 0
    overlap: Overlap | None = None
    warnings: list[str] = field(default_factory=list)

    protocol = "retrieval"
    json_keys = (
        "protocol similarity ranked_by reranking expansion cross_camera queries "
        "queries_without_match=without_match queries_by_own_camera_only=own_camera_only gallery "
        "overlap failure_to_acquire.queries=failed_queries "
        "failure_to_acquire.gallery=failed_gallery cmc=_shown_cmc map_plain map_trapezoid minp "
        "intervals with_failures=_all_with_failures cmc_curve=_cmc_curve "
        "wrong_first=first_wrong warnings"
    )

    @property
    def ranked_by(self) -> str:
        """What the gallery was ranked by, in words."""
        steps = [f"{self.similarity} scores", self.expansion, self.reranking]
        return ", ".join(str(step) for step in steps if step is not None)

    def rank(self, rank: int) -> float:
        """Return the share of queries with a positive among the first `rank`."""
        if rank < 1:
            raise EvaluationError(f"rank {rank} does not exist: ranks count from 1")
        return float(self.cmc[min(rank, len(self.cmc)) - 1])

    def with_failures(self, value: float) -> float:
        """Return a mean over queries in which those that a failure lost reach 0.

        Such a query could not be embedded itself, or none of its positives could. Failed images
        of the gallery are no positives of the other queries.
        """
        return value * self.queries / (self.answerable or self.queries)

    def describe(self) -> list[Section]:
        """Return the CMC, the mean average precisions and what they are of."""
        removed = (
            f" ({self.own_camera_only:,} of them have positives by their own camera only)"
            if self.own_camera_only
            else ""
        )
        rule = "cross-camera" if self.cross_camera else "no camera rule"
        facts: list[tuple[str, Cell]] = [
            ("queries", f"{self.queries:,} in a gallery of {self.gallery:,}, {rule}"),
            ("without match", f"{self.without_match:,} queries, left out{removed}"),
            ("ranked by", self.ranked_by),
            (
                "failed images",
                f"{self.failed_queries:,} queries, {self.failed_gallery:,} in the gallery "
                "(left out)",
            ),
        ]
        if self.overlap is not None:
            facts.append(("training", str(self.overlap)))
        figure = Figure(
            "CMC",
            self._drawing(),
            "Queries whose right person is among the first k of the list, over k. The band holds "
            "the intervals.",
        )
        blocks: list[Block] = [Facts(facts), figure, *self._measures()]
        if self.answerable is not None:
            blocks.append(
                Note(
                    f"with failures: of {self.answerable:,} queries, those that a failed image "
                    "lost count as never matched"
                )
            )
        if self.reranking or self.expansion:
            blocks.append(
                Note("a ranking changed like this has no threshold: verify by the scores alone")
            )
        return [Section("retrieval", "Retrieval", blocks)]

    def wrong_at_first(self) -> Comparisons:
        """Return the queries whose first candidate is wrong, beside it and the best right one."""
        return Comparisons(
            "Wrong at rank 1",
            "The query, who came first, and the best image of the right person. The highest "
            "scores first: one person under two names may be among them.",
            [
                Comparison(
                    Picture.of_row(wrong.query),
                    [
                        Picture.of_row(wrong.candidate, score(wrong.score)),
                        Picture.of_row(wrong.right, score(wrong.right_score)),
                    ],
                    "wrong at rank 1",
                    "bad",
                    score(wrong.score),
                )
                for wrong in self.first_wrong[:_SHOWN_WRONG]
            ],
        )

    def plot_cmc(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the CMC into matplotlib axes, or into new ones; return them."""
        return plot(self._drawing(), ax)

    def _measures(self) -> list[Block]:
        """Return the table of all measures, and how their intervals were made."""
        named = [(f"rank {rank}", f"rank {rank}", self.rank(rank)) for rank in DEFAULT_RANKS]
        named += [
            ("mAP (plain)", "map_plain", self.map_plain),
            ("mAP (trapezoid, Market-1501)", "map_trapezoid", self.map_trapezoid),
            ("mINP", "minp", self.minp),
        ]
        headers = ["metric", "value", level_of(self.intervals["map_plain"])]
        rows: list[list[Cell]] = [
            [name, *rate_and_interval(value, self.intervals.get(key))] for name, key, value in named
        ]
        if self.answerable is not None:
            headers.append("with failures")
            for row, (_, _, value) in zip(rows, named, strict=True):
                row.append(rate(self.with_failures(value)))
        made = [(name, self.intervals[key]) for name, key, _ in named if key in self.intervals]
        return [Table("", headers, rows), *interval_notes(made, over=", over the queries' people")]

    def _drawing(self) -> Drawing:
        """Return the CMC at the ranks that have intervals, or at all that are shown."""
        ranks = [k for k in range(1, len(self.cmc) + 1) if f"rank {k}" in self.intervals]
        if not ranks:
            ranks = shown_ranks(len(self.cmc))
            return figures.cmc([figures.Cmc("queries", ranks, [self.rank(k) for k in ranks])])
        found = [self.intervals[f"rank {k}"] for k in ranks]
        ends = [interval.low for interval in found], [interval.high for interval in found]
        return figures.cmc([figures.Cmc("queries", ranks, [self.rank(k) for k in ranks], *ends)])

    @property
    def _shown_cmc(self) -> dict[int, float]:
        return {rank: self.rank(rank) for rank in DEFAULT_RANKS}

    @property
    def _cmc_curve(self) -> dict[int, float]:
        return {rank: self.rank(rank) for rank in shown_ranks(len(self.cmc))}

    @property
    def _all_with_failures(self) -> dict[str, Any]:
        return {
            "queries": self.answerable or self.queries,
            "cmc": {rank: self.with_failures(value) for rank, value in self._shown_cmc.items()},
            **{name: self.with_failures(getattr(self, name)) for name in MEASURES},
        }


def retrieval(
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    queries: str | Sequence[str] | None = None,
    gallery: str | Sequence[str] | None = None,
    against: Embeddings | None = None,
    camera: str | None = None,
    similarity: str | None = None,
    rerank: Reranking | None = None,
    expand: Expansion | None = None,
    level: float = 0.95,
) -> RetrievalResult:
    """Rank a gallery for each query. Rows in the result are those of the embeddings given.

    Args:
        embeddings: Queries and gallery, or the queries alone; as for `verification`.
        identities: [N], where `embeddings` are vectors [N, D]. A gallery row called "-1" is junk
            to every query.
        queries, gallery: Conditions "column=value" on the rows; see `where`. By default
            "subset=query" and "subset=gallery", and all rows where `against` is given.
        against: The gallery where it is another set, by the same model.
        camera: The column of the cross-camera rule: gallery rows of the query's own identity and
            camera are junk.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        rerank: Re-rank by k-reciprocal neighbours, after any expansion.
        expand: Expand the queries, and the gallery where it says so.
        level: Confidence of the intervals, which draw the queries' people.

    Raises:
        EvaluationError: No rows meet a condition, none of them could be embedded, rows without a
            camera, rows that are query and gallery both (but for the cross-camera rule, which
            leaves them out), no query with a positive, two models, and what `verification` raises
            of its input.
    """
    first = as_set(embeddings, identities, similarity=similarity)
    sets = first, first if against is None else as_set(against, similarity=similarity)
    check_comparable(*sets)
    chosen = named_similarity(similarity or first.meta.metric)
    if against is None:
        queries, gallery = queries or "subset=query", gallery or "subset=gallery"
    rows = [
        where(side, [conditions] if isinstance(conditions, str) else conditions or [])
        for side, conditions in zip(sets, (queries, gallery), strict=True)
    ]
    held = [part[side.acquired[part]] for side, part in zip(sets, rows, strict=True)]
    for name, part in zip(("query", "gallery"), held, strict=True):
        if not len(part):
            raise EvaluationError(f"no {name} image could be embedded")
    both = np.intersect1d(held[0], held[1])
    if against is None and camera is None and len(both):
        raise EvaluationError(
            f"{len(both)} images are query and gallery both, first row {both[0]}: each would find "
            "itself; choose queries and a gallery without common rows"
        )
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
        answerable=_answerable(sets, rows, camera) if lost else None,
        overlap=overlap,
        warnings=warnings,
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
    positives = compared.positives()
    if not positives.any():
        raise EvaluationError(_without_positives(compared))
    each = query_ranks(ranking, compared)
    count = len(each.rows)
    last = min(_MOST_RANKS, len(gallery))
    values = measures(each)
    return RetrievalResult(
        queries=count,
        without_match=len(queries) - count,
        gallery=len(gallery),
        cmc=np.cumsum(np.bincount(each.first, minlength=last + 1)[1 : last + 1]) / count,
        map_plain=float(each.plain.mean()),
        map_trapezoid=float(each.trapezoid.mean()),
        minp=float(each.minp.mean()),
        similarity=similarity,
        cross_camera=cameras is not None,
        reranking=rerank,
        expansion=expand,
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
    """Return the cameras of both sides, numbered alike."""
    named = []
    for name, side in zip(("query set", "gallery"), sides, strict=True):
        check_column(side, camera)
        column = text_column(side.rows[camera])
        if column.isna().all():
            raise EvaluationError(
                f"the {name} has no cameras: its rows have nothing in the column '{camera}', "
                "so that the cross-camera rule cannot be kept"
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
    """Count the queries that have a positive in the gallery, embedded or not."""
    names = [
        people_column(side.identities)[part].reset_index(drop=True)
        for side, part in zip(sets, rows, strict=True)
    ]
    known = names[1] != "-1"
    positives = _alike(names[0], names[1][known])
    if camera is not None:
        keys = [
            name + "\0" + text_column(side.rows[camera])[part].reset_index(drop=True)
            for name, side, part in zip(names, sets, rows, strict=True)
        ]
        positives = positives - _alike(keys[0], keys[1][known])
    return int((positives > 0).sum())


def _alike(queries: "pd.Series[str]", gallery: "pd.Series[str]") -> Ints:
    """Count the gallery's names that agree with each query's, int64 [Q]."""
    return np.asarray(queries.map(gallery.value_counts()).fillna(0), np.int64)


def _without_positives(sides: Sides) -> str:
    """Say why no query has a positive."""
    removed = sides.of_own_person()
    if not removed.any():
        return (
            "no query has a positive in the gallery: no identity of the queries is among those of "
            "the gallery"
        )
    return (
        f"no query has a positive in the gallery: the cross-camera rule removed all "
        f"{int(removed.sum()):,} of {int((removed > 0).sum()):,} queries, as they are by the "
        "query's own camera: omit the cameras, or give a gallery of other cameras"
    )


def measures(each: QueryRanks) -> dict[str, Doubles]:
    """Return what each query adds to each measure."""
    hits = {f"rank {rank}": (each.first <= rank).astype(np.float64) for rank in _BAND}
    return hits | {"map_plain": each.plain, "map_trapezoid": each.trapezoid, "minp": each.minp}
