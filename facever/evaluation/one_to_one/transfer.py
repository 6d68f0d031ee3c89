"""A threshold carried to another set of people: which rates it really has there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.cells import (
    errors,
    far_and_interval,
    few_notes,
    interval_notes,
    level_of,
    rate_and_interval,
)
from facever.evaluation.one_to_one.measure import most_wanted
from facever.evaluation.one_to_one.result import Failures
from facever.evaluation.one_to_one.verification import Sample
from facever.evaluation.operating_point import Interval, OperatingPoint, TrialCounts
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import Trials
from facever.evaluation.statistics.intervals import (
    FEW_ERRORS,
    TOO_NARROW,
    Moving,
    clopper_pearson,
    dyadic_rate,
    fmr_interval,
    tar_interval,
)
from facever.render.blocks import Facts, Section, Table
from facever.render.numbers import far, score
from facever.render.result import Result
from facever.render.values import Record

Verdict = Literal["met", "exceeded", "not resolved"]


@dataclass(frozen=True)
class RealisedPoint(Record):
    """An operating point on other trials than those it was set on.

    Attributes:
        point: The operating point.
        false_accepts: Impostor scores above its threshold.
        false_rejects: Genuine scores not above it.
        trials: How many there are of each.
        fmr_interval, fnmr_interval: Of the realised rates; they respect identities where these are
            known.
    """

    point: OperatingPoint
    false_accepts: int
    false_rejects: int
    trials: TrialCounts
    fmr_interval: Interval
    fnmr_interval: Interval

    @property
    def fmr(self) -> float:
        """False accepts over impostor trials."""
        return self.false_accepts / self.trials.impostor

    @property
    def fnmr(self) -> float:
        """False rejects over genuine trials."""
        return self.false_rejects / self.trials.genuine

    @property
    def verdict(self) -> Verdict:
        """Whether the realised FMR meets the target, as far as its interval tells."""
        if self.fmr_interval.high <= self.point.target_rate:
            return "met"
        return "exceeded" if self.fmr_interval.low > self.point.target_rate else "not resolved"

    json_keys = (
        "operating_point=point fmr_target=point.target_rate fmr fmr_interval fnmr fnmr_interval "
        "false_accepts false_rejects few_false_accepts few_false_rejects verdict"
    )

    @property
    def few_false_accepts(self) -> bool:
        """Whether too few impostor trials were accepted to carry a rate."""
        return self.false_accepts < FEW_ERRORS

    @property
    def few_false_rejects(self) -> bool:
        """Whether too few genuine trials were rejected to carry a rate."""
        return self.false_rejects < FEW_ERRORS


@dataclass(frozen=True)
class TransferResult(Result):
    """Operating points of one set on the trials of another.

    Attributes:
        trials: Of the other set.
        points: In the order given.
        protocol: What made the trials.
        dataset: What the other set is called.
        failures: Images that could not be embedded there.
        warnings: What the reader must know.
    """

    trials: TrialCounts
    points: list[RealisedPoint]
    protocol: str = "all-pairs"
    dataset: str = ""
    failures: Failures = field(default_factory=Failures)
    warnings: list[str] = field(default_factory=list)

    question = "transfer"
    json_keys = (
        "protocol=question trials_of=protocol dataset trials operating_points=points "
        "failure_to_acquire=failures warnings"
    )

    def describe(self) -> list[Section]:
        """Return the rates that each threshold has on these trials."""
        origins = sorted({found.point.dataset or "unnamed data" for found in self.points})
        facts = Facts(
            [
                ("thresholds of", ", ".join(origins)),
                ("on", self.dataset or "unnamed data"),
                ("protocol", self.protocol),
                (
                    "trials",
                    f"{self.trials.genuine:,} genuine, {self.trials.impostor:,} impostor",
                ),
                ("failed images", f"{self.failures} (not in the trials)"),
            ]
        )
        rows = [
            [
                score(found.point.threshold),
                far(found.point.target_rate),
                *far_and_interval(found.fmr, found.fmr_interval),
                errors(found.false_accepts),
                *rate_and_interval(found.fnmr, found.fnmr_interval),
                errors(found.false_rejects),
                found.verdict,
            ]
            for found in self.points
        ]
        level = level_of(self.points[0].fmr_interval)
        headers = ["threshold", "FMR target", "FMR here", level, "false accepts"]
        headers += ["FNMR here", level, "false rejects", "target"]
        made = [
            (f"{rate} at {found.point.threshold:.6g}", interval)
            for found in self.points
            for rate, interval in (("FMR", found.fmr_interval), ("FNMR", found.fnmr_interval))
        ]
        blocks = [facts, Table("", headers, rows), *few_notes(rows), *interval_notes(made)]
        return [Section("transfer", "Transfer", blocks)]


def transfer(
    vectors: ArrayLike,
    identities: ArrayLike,
    points: Sequence[OperatingPoint],
    *,
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Mapping[str, ArrayLike] | None = None,
    level: float = 0.95,
) -> TransferResult:
    """Apply operating points to all pairs of other people than those they were set on.

    Args:
        vectors: [N, D], by the model whose scores the points judge.
        identities: [N].
        points: Of one similarity, of kind "1:1-image" or "1:1-template".
        norms: [N], to scale rows back for "euclidean" and "dot".
        acquired: Bool [N], False where the image could not be embedded.
        exclude: Columns [N]; a pair that agrees in any of them is no trial.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: No point, one of kind "1:N", points of several similarities, and what
            `verification` raises.
    """
    sample = Sample.of(vectors, identities, norms, acquired, exclude)
    pairs, failures = sample.all_pairs(check_points(points))
    rates = [point.target_rate for point in points]
    trials = stream(pairs, most_wanted(rates, pairs.impostor))
    found = [realised(trials, point, level) for point in points]
    return TransferResult(found[0].trials, found, failures=failures)


def check_points(points: Sequence[OperatingPoint]) -> str:
    """Return the similarity that 1:1 operating points are on.

    Raises:
        EvaluationError: No point, one of kind "1:N", or points of several similarities.
    """
    similarities = sorted({point.similarity for point in points})
    if len(similarities) != 1:
        there = " and ".join(similarities) or "no similarity"
        raise EvaluationError(f"operating points of one similarity are needed, not of {there}")
    if any(point.kind == "1:N" for point in points):
        raise EvaluationError(
            "a 1:N operating point holds an FPIR in its gallery, not an FMR: give a 1:1 one"
        )
    return similarities[0]


def realised(trials: Trials, point: OperatingPoint, level: float = 0.95) -> RealisedPoint:
    """Count the errors of an operating point on trials that it was not set on.

    Args:
        trials: Scores of the point's similarity.
        point: The operating point.
        level: Confidence of the intervals.
    """
    threshold = point.threshold
    accepts = trials.false_accepts(threshold)
    rejects = trials.genuine - trials.true_accepts(threshold)
    if trials.dyads is None:
        fmr = clopper_pearson(accepts, trials.impostor, level, TOO_NARROW)
        fnmr = clopper_pearson(rejects, trials.genuine, level, TOO_NARROW)
    else:
        fmr = fmr_interval(dyadic_rate(trials.error_sums(threshold), trials.dyads), level)
        accepted, genuine = trials.accepted_by_person(np.array([threshold]))
        fnmr = tar_interval(Moving.fixed(genuine - accepted[:, 0], genuine), level)
    counts = TrialCounts(genuine=trials.genuine, impostor=trials.impostor)
    return RealisedPoint(point, accepts, rejects, counts, fmr, fnmr)
