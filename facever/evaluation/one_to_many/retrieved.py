"""What retrieval measured: CMC, mean average precisions and mINP, and how they are shown."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facever.errors import EvaluationError
from facever.evaluation.cells import interval_notes, level_of, rate_and_interval
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.ranking import (
    QueryRanks,
    WrongFirst,
    shown_ranks,
)
from facever.evaluation.one_to_many.reranking import Reranking
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
_BAND = (1, 2, 5, 10, 20, 50, 100)  # the ranks of the CMC that have intervals
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


def measures(each: QueryRanks) -> dict[str, Doubles]:
    """Return what each query adds to each measure."""
    hits = {f"rank {rank}": (each.first <= rank).astype(np.float64) for rank in _BAND}
    return hits | {"map_plain": each.plain, "map_trapezoid": each.trapezoid, "minp": each.minp}
