"""The result of retrieval: CMC, mean average precisions and mINP."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facever.errors import EvaluationError
from facever.evaluation.cells import interval_notes, level_of, rate_and_interval
from facever.evaluation.failures import ComparisonFailures
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.ranking import (
    QueryRanks,
    WrongFirst,
    shown_ranks,
)
from facever.evaluation.one_to_many.reranking import Reranking
from facever.evaluation.one_to_many.side_templates import SIDES, SideTemplates, TemplateCounts
from facever.evaluation.overlap import Overlap
from facever.evaluation.scoring.similarity import Doubles
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

DEFAULT_RANKS = (1, 5, 10, 20)
MEASURES = ("map_plain", "map_trapezoid", "minp")
_BAND = (1, 2, 5, 10, 20, 50, 100)  # ranks of the CMC with intervals
_SHOWN_WRONG = 12


@dataclass(frozen=True)
class RetrievalResult(Result):
    """The result of retrieval. It has no thresholds: a ranking is not a verification.

    Attributes:
        queries: Number of queries with a positive in the gallery.
        without_match: Number of queries without one; they are excluded.
        gallery: Number of gallery rows.
        cmc: float64 [R], the share of queries whose first positive is among the first r.
        map_plain: Mean over queries of mean_j j / r_j.
        map_trapezoid: The official Market-1501 form, averaging precision before and at each
            positive.
        minp: Mean over queries of P / r_P, with P positives, the last at rank r_P.
        similarity: Kind of the original scores; None for scores of another system.
        cross_camera: Whether positives of the query's camera were excluded.
        reranking, expansion: Parameters of re-ranking and query expansion, or None.
        intervals: Of "rank 1", "rank 2" and so on, "map_plain", "map_trapezoid" and "minp".
        each: Ranks and precisions of each query.
        first_wrong: Queries whose first candidate is wrong, highest scores first, at most 50. A
            re-ranked score is minus the final distance.
        templates: How images were pooled; None for images. Counts are then of templates.
        template_counts: Images and templates of both sides, or None.
        failed_queries, failed_gallery: Images (or templates) that could not be embedded; they are
            excluded.
        answerable: Number of queries that would have a positive if every image had been embedded;
            None without failures.
        own_camera_only: Number of queries without a positive because the cross-camera rule removed
            all.
        comparisons: Failed comparisons that are ranked last, if the scores may have them.
        distances: Whether the scores are negated distances.
        overlap: Overlap of the people of both sides with the training, if it was determined.
        warnings: Warnings for the reader.
    """

    queries: int
    without_match: int
    gallery: int
    cmc: Doubles
    map_plain: float
    map_trapezoid: float
    minp: float
    similarity: str | None
    cross_camera: bool
    reranking: Reranking | None
    expansion: Expansion | None
    intervals: dict[str, Interval]
    each: QueryRanks
    first_wrong: list[WrongFirst] = field(default_factory=list)
    templates: SideTemplates | None = None
    template_counts: TemplateCounts | None = None
    failed_queries: int = 0
    failed_gallery: int = 0
    answerable: int | None = None
    own_camera_only: int = 0
    comparisons: ComparisonFailures | None = None
    distances: bool = False
    overlap: Overlap | None = None
    warnings: list[str] = field(default_factory=list)

    protocol = "retrieval"
    json_keys = (
        "protocol similarity ranked_by reranking expansion cross_camera queries "
        "queries_without_match=without_match queries_by_own_camera_only=own_camera_only gallery "
        "templates template_counts "
        "overlap failure_to_acquire.queries=failed_queries "
        "failure_to_acquire.gallery=failed_gallery failure_to_compare=comparisons distances "
        "cmc=_shown_cmc map_plain map_trapezoid minp "
        "intervals with_failures=_all_with_failures cmc_curve=_cmc_curve "
        "wrong_first=first_wrong warnings"
    )

    @property
    def ranked_by(self) -> str:
        """The ranking method, as text."""
        turned = " (negated distances)" if self.distances else ""
        steps = [f"{self.similarity or 'external'} scores{turned}", self.expansion, self.reranking]
        return ", ".join(str(step) for step in steps if step is not None)

    def rank(self, rank: int) -> float:
        """Return the share of queries with a positive among the first `rank`."""
        if rank < 1:
            raise EvaluationError(f"rank {rank} does not exist: ranks count from 1")
        return float(self.cmc[min(rank, len(self.cmc)) - 1])

    def with_failures(self, value: float) -> float:
        """Return a mean over queries in which queries lost by failures count as 0.

        A query is lost if it could not be embedded, or if none of its positives could. Failed
        gallery images do not count as positives of other queries.
        """
        return value * self.queries / (self.answerable or self.queries)

    def describe(self) -> list[Section]:
        """Return the CMC and the mean average precisions."""
        removed = (
            f" ({self.own_camera_only:,} of them have positives of their own camera only)"
            if self.own_camera_only
            else ""
        )
        rule = "cross-camera" if self.cross_camera else "no camera rule"
        facts: list[tuple[str, Cell]] = [
            ("queries", f"{self.queries:,} in a gallery of {self.gallery:,}, {rule}"),
            ("without match", f"{self.without_match:,} queries, excluded{removed}"),
            ("ranked by", self.ranked_by),
            (
                "failed images",
                f"{self.failed_queries:,} queries, {self.failed_gallery:,} in the gallery "
                "(excluded)",
            ),
        ]
        if self.comparisons is not None:
            facts.append(("failed comparisons", f"{self.comparisons}, ranked last"))
        if self.overlap is not None:
            facts.append(("training", str(self.overlap)))
        if self.templates is not None:
            facts += [
                (f"{side} by {self.templates.column}", str(count))
                for side in SIDES
                if (count := getattr(self.template_counts, side)) is not None
            ]
        figure = Figure(
            "CMC",
            self._drawing(),
            "Share of queries with the correct person within rank k. The band shows confidence "
            "intervals.",
        )
        blocks: list[Block] = [Facts(facts), figure, *self._measures()]
        if self.answerable is not None:
            blocks.append(
                Note(
                    f"with failures: of {self.answerable:,} queries, those lost by failed images "
                    "count "
                    "as never matched"
                )
            )
        if self.reranking or self.expansion:
            blocks.append(
                Note("thresholds of a verification do not apply to a re-ranked or expanded ranking")
            )
        return [Section("retrieval", "Retrieval", blocks)]

    def wrong_at_first(self) -> Comparisons:
        """Return the queries whose first candidate is wrong, with it and the best correct image."""
        return Comparisons(
            "Wrong at rank 1",
            "The query, the first candidate, and the best image of the correct person, highest "
            "scores first. Some may be one person with two names.",
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
        """Draw the CMC into axes (new ones by default) and return them."""
        return plot(self._drawing(), ax)

    def _measures(self) -> list[Block]:
        """Return the table of all measures, and notes on the methods of their intervals."""
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
        """Return the CMC at the ranks with intervals, else at all shown ranks."""
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


def measures(each: QueryRanks) -> dict[str, Doubles]:
    """Return the value of each query for each measure."""
    hits = {f"rank {rank}": (each.first <= rank).astype(np.float64) for rank in _BAND}
    return hits | {"map_plain": each.plain, "map_trapezoid": each.trapezoid, "minp": each.minp}
