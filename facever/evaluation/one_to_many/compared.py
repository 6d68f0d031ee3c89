"""Comparison of two rankings of the same queries: differences of CMC, mAP and mINP."""

from dataclasses import dataclass, field

import numpy as np

from facever.errors import EvaluationError
from facever.evaluation.cells import difference_headers, difference_row
from facever.evaluation.one_to_many.by_person import paired_intervals
from facever.evaluation.one_to_many.retrieved import RetrievalResult, measures
from facever.operating_point import Interval
from facever.render.blocks import Facts, Note, Section, Table
from facever.render.result import Result
from facever.render.values import Record


@dataclass(frozen=True)
class ComparedMeasure(Record):
    """A measure of both rankings.

    Attributes:
        first, second: The measure of either ranking.
        interval: Interval of the second minus the first.
    """

    first: float
    second: float
    interval: Interval

    json_keys = "first second difference interval resolved"

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def resolved(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return not self.interval.holds(0)


@dataclass(frozen=True)
class RetrievalComparison(Result):
    """Two rankings of the same queries.

    Attributes:
        first, second: The result of each ranking.
        measures: By name, as in the intervals of a `RetrievalResult`.
        warnings: Warnings for the reader.
    """

    first: RetrievalResult
    second: RetrievalResult
    measures: dict[str, ComparedMeasure]
    warnings: list[str] = field(default_factory=list)

    protocol = "compare-retrieval"
    json_keys = (
        "protocol ranked_by cross_camera=first.cross_camera queries=first.queries "
        "queries_without_match=first.without_match gallery=first.gallery "
        "failure_to_acquire.queries=first.failed_queries "
        "failure_to_acquire.gallery=first.failed_gallery measures warnings"
    )

    @property
    def ranked_by(self) -> list[str]:
        """The ranking method of each, as text."""
        return [self.first.ranked_by, self.second.ranked_by]

    def describe(self) -> list[Section]:
        """Return the measures of both, and whether each difference is resolved."""
        first = self.first
        interval = self.measures["map_plain"].interval
        rule = "cross-camera" if first.cross_camera else "no camera rule"
        facts = Facts(
            [
                ("queries", f"{first.queries:,} in a gallery of {first.gallery:,}, {rule}"),
                ("without match", f"{first.without_match:,} queries, excluded"),
                ("first", f"ranked by {first.ranked_by}"),
                ("second", f"ranked by {self.second.ranked_by}"),
                (
                    "failed images",
                    f"{first.failed_queries:,} queries, {first.failed_gallery:,} in the gallery "
                    "failed for either model (excluded)",
                ),
            ]
        )
        rows = [
            difference_row(name, found.first, found.second, found.interval)
            for name, found in self.measures.items()
        ]
        made = Note(f"intervals: {interval.method} over the queries' people")
        table = Table("", difference_headers(interval), rows)
        return [Section("retrieval", "Retrieval", [facts, table, made])]


def compare_retrieval(
    first: RetrievalResult, second: RetrievalResult, *, level: float = 0.95
) -> RetrievalComparison:
    """Compare two rankings of the same queries.

    People are drawn with replacement, the same for both; the gallery is fixed.

    Args:
        first, second: Results of the same queries, such as without and with re-ranking, or of two
            models on `same_images`.
        level: Confidence level.

    Raises:
        EvaluationError: The queries differ.
    """
    if not np.array_equal(first.each.rows, second.each.rows) or not np.array_equal(
        first.each.people, second.each.people
    ):
        raise EvaluationError(
            "the two results are of different queries: measure both on the same queries"
        )
    one, two = measures(first.each), measures(second.each)
    differences = np.stack([two[name] - one[name] for name in one], axis=1)
    intervals = paired_intervals(differences, first.each.people, level)
    return RetrievalComparison(
        first,
        second,
        {
            name: ComparedMeasure(float(one[name].mean()), float(two[name].mean()), interval)
            for name, interval in zip(one, intervals, strict=True)
        },
        [
            f"{name}: {text}"
            for name, result in (("first", first), ("second", second))
            for text in result.warnings
        ],
    )
