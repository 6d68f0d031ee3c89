"""Two rankings of the same queries: which difference of CMC, mAP and mINP is resolved."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facever.console import table
from facever.errors import EvaluationError
from facever.evaluation.one_to_many.by_person import paired_intervals
from facever.evaluation.one_to_many.retrieval import RetrievalResult, measures
from facever.evaluation.one_to_one.text import difference_headers, difference_row
from facever.evaluation.operating_point import Interval


@dataclass(frozen=True)
class ComparedMeasure:
    """A measure of both rankings, and the interval of the second minus the first."""

    first: float
    second: float
    interval: Interval

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def resolved(self) -> bool:
        """Whether the queries tell the two apart: the interval does not hold zero."""
        return not self.interval.holds(0)


@dataclass(frozen=True)
class RetrievalComparison:
    """Two rankings of the same queries.

    Attributes:
        first, second: Each alone.
        measures: By name, as in the intervals of a `RetrievalResult`.
        warnings: What the reader must know.
    """

    first: RetrievalResult
    second: RetrievalResult
    measures: dict[str, ComparedMeasure]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, the same as `--json` prints."""
        first = self.first
        return {
            "protocol": "compare-retrieval",
            "ranked_by": [first.ranked_by, self.second.ranked_by],
            "cross_camera": first.cross_camera,
            "queries": first.queries,
            "queries_without_match": first.without_match,
            "gallery": first.gallery,
            "failure_to_acquire": {
                "queries": first.failed_queries,
                "gallery": first.failed_gallery,
            },
            "measures": {
                name: {
                    "first": found.first,
                    "second": found.second,
                    "difference": found.difference,
                    "interval": found.interval.model_dump(),
                    "resolved": found.resolved,
                }
                for name, found in self.measures.items()
            },
            "warnings": self.warnings,
        }

    def to_text(self) -> str:
        """Return the result as a person reads it."""
        first = self.first
        interval = self.measures["map_plain"].interval
        rows = [
            difference_row(name, found.first, found.second, found.interval)
            for name, found in self.measures.items()
        ]
        return "\n".join(
            [
                f"retrieval: {first.queries:,} queries in a gallery of {first.gallery:,}, "
                f"{'cross-camera' if first.cross_camera else 'no camera rule'}; "
                f"{first.without_match:,} queries without match left out",
                f"ranked by {first.ranked_by}; by {self.second.ranked_by}",
                f"failed images in one of the two: {first.failed_queries:,} queries, "
                f"{first.failed_gallery:,} in the gallery (left out)",
                "",
                table(difference_headers(interval), rows),
                f"intervals: {interval.method} over the queries' people",
            ]
        )


def compare_retrieval(
    first: RetrievalResult, second: RetrievalResult, *, level: float = 0.95
) -> RetrievalComparison:
    """Compare two rankings of the same queries.

    People are drawn with replacement, the same for both; the gallery stays as it is.

    Args:
        first, second: Results of the same queries, such as without and with re-ranking, or of two
            models on `same_images`.
        level: Confidence.

    Raises:
        EvaluationError: The queries differ.
    """
    if not np.array_equal(first.each.rows, second.each.rows) or not np.array_equal(
        first.each.people, second.each.people
    ):
        raise EvaluationError("the two results are of different queries: measure both on the same")
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
