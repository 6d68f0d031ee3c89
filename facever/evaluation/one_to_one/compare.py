"""Two models on the same trials: which difference of TAR at a FAR is resolved.

People are drawn with replacement, the same for both models; in each draw both thresholds move by
what the draw does to their FMR. A difference is resolved when its interval does not hold zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from facever.console import table
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.measure import measure, most_wanted, moving_threshold
from facever.evaluation.one_to_one.result import MeasuredPoint
from facever.evaluation.one_to_one.verification import DEFAULT_FARS, Sample
from facever.evaluation.operating_point import Interval, TrialCounts
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import Trials, budget, check_fars, needed
from facever.evaluation.statistics.intervals import DRAWS, expanded, tar_draws


@dataclass(frozen=True)
class ComparedPoint:
    """Both models at one FAR, and the interval of TAR of the second minus TAR of the first."""

    first: MeasuredPoint
    second: MeasuredPoint
    difference: Interval

    @property
    def resolved(self) -> bool:
        """Whether the trials tell the two apart."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class ComparisonResult:
    """Two models on the same trials.

    Attributes:
        trials: How many; the same for both.
        points: One for each FAR that the trials support.
        refused: The other FARs with the impostor trials that they need.
    """

    trials: TrialCounts
    points: list[ComparedPoint]
    refused: dict[float, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, the same as `--json` prints."""
        return {
            "protocol": "compare",
            "trials": self.trials.model_dump(),
            "operating_points": [
                {
                    "far_target": point.first.far_target,
                    "first": {"far": point.first.far, "tar": point.first.tar},
                    "second": {"far": point.second.far, "tar": point.second.tar},
                    "difference": point.second.tar - point.first.tar,
                    "interval": point.difference.model_dump(),
                    "resolved": point.resolved,
                }
                for point in self.points
            ],
            "refused": [{"far_target": far, "needs": n} for far, n in self.refused.items()],
        }

    def to_text(self) -> str:
        """Return the result as a person reads it."""
        rows = [
            [
                f"{point.first.far_target:g}",
                f"{point.first.tar:.4f}",
                f"{point.second.tar:.4f}",
                f"{point.second.tar - point.first.tar:+.4f}",
                f"{point.difference.low:+.4f} .. {point.difference.high:+.4f}",
                "resolved" if point.resolved else "not resolved",
            ]
            for point in self.points
        ]
        headers = ["FAR target", "TAR first", "TAR second", "difference", "95 %", ""]
        lines = [f"{self.trials.genuine:,} genuine, {self.trials.impostor:,} impostor trials", ""]
        lines.append(table(headers, rows))
        lines += [
            f"FAR {far:g} is refused: it needs {n:,} impostor trials"
            for far, n in self.refused.items()
        ]
        return "\n".join(lines)


def compare(
    first: ArrayLike,
    second: ArrayLike,
    identities: ArrayLike,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: str = "cosine",
    acquired: ArrayLike | None = None,
    exclude: Mapping[str, ArrayLike] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> ComparisonResult:
    """Compare two models over all pairs of the same images.

    Args:
        first, second: [N, D1] and [N, D2], the vectors of the same images in the same order.
        identities: [N].
        far: The false accept rates at which TAR is compared.
        similarity: "cosine", "euclidean" or "dot".
        acquired: Bool [N], False where either model could not embed the image.
        exclude: Columns [N]; a pair that agrees in any of them is no trial.
        level: Confidence of the intervals.
        seed: Of the draws.

    Raises:
        EvaluationError: Numbers of rows that differ, and what `verification` raises.
    """
    samples = [
        Sample.of(vectors, identities, None, acquired, exclude) for vectors in (first, second)
    ]
    fars = check_fars(far)
    both: list[Trials] = []
    for sample in samples:
        pairs, _ = sample.all_pairs(similarity)
        both.append(stream(pairs, most_wanted(fars, pairs.impostor)))
    return compare_trials(both[0], both[1], fars, level=level, seed=seed)


def compare_trials(
    first: Trials, second: Trials, fars: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> ComparisonResult:
    """Compare two models on trials of the same people in the same order.

    Raises:
        EvaluationError: The trials differ, or the people are not known.
    """
    if first.dyads is None or second.dyads is None:
        raise EvaluationError("a comparison needs to know the two people of each trial")
    same = (first.genuine, first.impostor) == (second.genuine, second.impostor)
    if not same or not np.array_equal(first.dyads.per_person, second.dyads.per_person):
        raise EvaluationError(
            "the two models have different trials: embed the same images by both, and leave out "
            "what either could not embed"
        )
    refused = {far: needed(far) for far in fars if budget(far, first.impostor) < 1}
    points = []
    for far in fars:
        if far in refused:
            continue
        results = [measure(trials, [far], protocol="compare") for trials in (first, second)]
        draws = [
            tar_draws(moving_threshold(trials, far), draws=DRAWS, seed=seed)
            for trials in (first, second)
        ]
        ends = np.nanquantile(draws[1] - draws[0], expanded(level, first.dyads.people))
        difference = Interval(
            low=float(ends[0]), high=float(ends[1]), level=level, method="paired identity bootstrap"
        )
        points.append(ComparedPoint(results[0].at(far), results[1].at(far), difference))
    trials = TrialCounts(genuine=first.genuine, impostor=first.impostor)
    return ComparisonResult(trials, points, refused)
