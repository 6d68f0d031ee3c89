"""Comparison of two models on the same trials: differences of TAR at a FAR, and of accuracy.

People are drawn with replacement, the same for both models. In each draw both thresholds are
adjusted to keep the FMR. Accuracies are compared trial by trial, at the thresholds of each model.
A difference is resolved if its interval excludes zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.cells import (
    FEW,
    difference_headers,
    difference_row,
    errors,
    interval_notes,
    refused_note,
)
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.failures import Failures
from facever.evaluation.inputs import Embeddings, as_set
from facever.evaluation.one_to_one.counts import Accuracy, MeasuredPoint
from facever.evaluation.one_to_one.decisions import accuracy_of
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.populations import tar_over_people
from facever.evaluation.protocols.judged import Judged, judged
from facever.evaluation.protocols.request import Request
from facever.evaluation.protocols.templates import templates_for
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Ints, Numbers
from facever.evaluation.scoring.trials import Trials, budget, check_fars, needed
from facever.evaluation.statistics.clustered import mean_interval
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.evaluation.statistics.paired import over_people
from facever.evaluation.two_sets import same_images
from facever.operating_point import Interval, TrialCounts
from facever.render.blocks import Block, Cell, Facts, Section, Table
from facever.render.numbers import far_text
from facever.render.result import Result
from facever.render.values import Record


@dataclass(frozen=True)
class ComparedPoint(Record):
    """Both models at one FAR.

    Attributes:
        first, second: The operating point of either model.
        difference: Interval of the difference of TAR, second minus first.
    """

    first: MeasuredPoint
    second: MeasuredPoint
    difference: Interval

    json_keys = (
        "far_target=first.far_target first second difference=gain interval=difference resolved "
        "few_errors=few"
    )

    @property
    def gain(self) -> float:
        """TAR of the second minus TAR of the first."""
        return self.second.tar - self.first.tar

    @property
    def resolved(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return not self.difference.holds(0)

    @property
    def few(self) -> bool:
        """Whether a rate of either model is based on too few errors."""
        sides = self.first, self.second
        return min(e for s in sides for e in (s.false_accepts, s.false_rejects)) < FEW_ERRORS


@dataclass(frozen=True)
class ComparedAccuracy(Record):
    """Both accuracies on the same trials, and the interval of second minus first."""

    first: Accuracy
    second: Accuracy
    difference: Interval

    json_keys = (
        "first=first.mean second=second.mean difference=gain interval=difference resolved methods"
    )

    @property
    def gain(self) -> float:
        """Accuracy of the second minus that of the first."""
        return self.second.mean - self.first.mean

    @property
    def methods(self) -> list[str]:
        """How the thresholds of each model were chosen."""
        return [self.first.method, self.second.method]

    @property
    def resolved(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return not self.difference.holds(0)


@dataclass(frozen=True)
class ComparisonResult(Result):
    """Comparison of two models on the same trials.

    Attributes:
        trials: Numbers of trials, the same for both.
        points: One for each FAR that the trials support.
        refused: The other FARs, with the impostor trials that they need.
        accuracy: Accuracies, if the protocol chooses thresholds on other trials.
        protocol: The protocol of the trials.
        failures: Images that either model could not embed, excluded for both.
        warnings: Warnings for the reader.
    """

    trials: TrialCounts
    points: list[ComparedPoint]
    refused: dict[float, int]
    accuracy: ComparedAccuracy | None = None
    protocol: str = "all-pairs"
    failures: Failures = field(default_factory=Failures)
    warnings: list[str] = field(default_factory=list)

    question = "compare"
    json_keys = (
        "protocol=question trials_of=protocol trials operating_points=points refused=_refused "
        "accuracy failure_to_acquire=failures warnings"
    )

    def describe(self) -> list[Section]:
        """Return the rates of both models, and whether each difference is resolved."""
        rows: list[list[Cell]] = []
        made = []
        for point in self.points:
            name = f"TAR at FAR {far_text(point.first.far_target)}"
            row = difference_row(name, point.first.tar, point.second.tar, point.difference)
            for kind in ("false_accepts", "false_rejects"):
                both = (errors(getattr(one, kind)).text for one in (point.first, point.second))
                row.append(" / ".join(both))
            rows.append(row)
            made.append((name, point.difference))
        if self.accuracy is not None:
            means = self.accuracy.first.mean, self.accuracy.second.mean
            row = difference_row("accuracy", *means, self.accuracy.difference)
            rows.append([*row, "", ""])
            made.append(("accuracy", self.accuracy.difference))
        trials = f"{self.trials.genuine:,} genuine, {self.trials.impostor:,} impostor"
        facts: list[tuple[str, Cell]] = [
            ("protocol", self.protocol),
            ("trials", trials),
            ("failed images", f"{self.failures} failed for either model (not in the trials)"),
        ]
        blocks: list[Block] = [Facts(facts)]
        if made:
            headers = [*difference_headers(made[0][1]), "false accepts", "false rejects"]
            blocks.append(Table("Second minus first, on the same trials", headers, rows))
            if any(point.few for point in self.points):
                blocks.append(FEW)
            blocks += interval_notes(made)
        blocks += [
            refused_note("FAR", far, needs, "impostor trials")
            for far, needs in self.refused.items()
        ]
        return [Section("comparison", "Comparison", blocks)]

    @property
    def _refused(self) -> list[dict[str, float]]:
        return [{"far_target": far, "needs": needs} for far, needs in self.refused.items()]


def compare(
    first: Embeddings | ArrayLike,
    second: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> ComparisonResult:
    """Compare the TAR at a FAR of two models on the same trials.

    Images that either model could not embed are excluded for both, and counted.

    Args:
        first, second: Embeddings of the same images in the same order, as for `verification`.
        identities: [N], if both are plain vectors [N, D1] and [N, D2].
        protocol, pairs, exclude, allow_overlap, data: As for `verification`.
        far: False accept rates at which TAR is compared.
        similarity: Similarity for both; by default the metric of each model's head.
        level: Confidence level of the intervals.
        seed: Seed of the draws.

    Raises:
        EvaluationError: The rows are not of the same images in the same order; also the errors of
            `verification`.
    """
    fars = check_fars(far)
    both = same_images(
        *(as_set(side, identities, similarity=similarity) for side in (first, second))
    )
    requests = [
        Request(
            templates_for(side, pairs),
            protocol,
            pairs,
            similarity,
            exclude,
            None,
            allow_overlap,
            data,
        )
        for side in both
    ]
    one, two = (judged(request, fars) for request in requests)
    found = compare_trials(one.trials, two.trials, fars, level=level, seed=seed)
    return replace(
        found,
        accuracy=_accuracies(requests, (one, two), level),
        protocol=requests[0].name,
        failures=one.failures,
        warnings=[
            f"{name}: {side.overlap}"
            for name, side in (("first", one), ("second", two))
            if side.overlap
        ],
    )


def _accuracies(
    requests: Sequence[Request], sides: tuple[Judged, Judged], level: float
) -> ComparedAccuracy | None:
    """Compare the accuracies, if the protocol chooses thresholds on other trials."""
    decisions, accuracies = [], []
    for request, side in zip(requests, sides, strict=True):
        scored = side.scored
        accuracy = None if scored is None else accuracy_of(request, scored, level)
        if scored is None or accuracy is None:
            return None
        thresholds = np.array(accuracy.thresholds)
        if len(thresholds) > 1:  # one for each fold, in their order
            assert scored.folds is not None
            thresholds = thresholds[np.unique(scored.folds, return_inverse=True)[1]]
        decisions.append((scored.scores > thresholds) == scored.same)
        accuracies.append(accuracy)
    first = sides[0].scored
    assert first is not None
    assert first.codes is not None  # as_set requires identities
    folds = first.folds if len(accuracies[0].thresholds) > 1 else None
    one, two = accuracies
    return compare_accuracies(one, two, (decisions[0], decisions[1]), first.codes, folds, level)


def compare_trials(
    first: Trials, second: Trials, fars: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> ComparisonResult:
    """Compare two models on trials of the same people in the same order.

    Raises:
        EvaluationError: The trials differ, or the people are unknown.
    """
    if first.dyads is None or second.dyads is None:
        raise EvaluationError("a comparison needs the identities of both images of each trial")
    same = (first.genuine, first.impostor) == (second.genuine, second.impostor)
    if not same or not np.array_equal(first.dyads.per_person, second.dyads.per_person):
        raise EvaluationError(
            "the two models have different trials: embed the same images with both, and omit "
            "images that either could not embed"
        )
    refused = {far: needed(far) for far in fars if budget(far, first.impostor) < 1}
    results = [measure(trials, fars, protocol="compare", level=level) for trials in (first, second)]
    points = []
    for far in fars:
        if far in refused:
            continue
        one, two = (result.at(far) for result in results)
        draws = [tar_over_people(trials, far, seed=seed) for trials in (first, second)]
        people = first.dyads.people
        difference = over_people(draws[1] - draws[0], two.tar - one.tar, people, level)
        points.append(ComparedPoint(one, two, difference.interval))
    trials = TrialCounts(genuine=first.genuine, impostor=first.impostor)
    return ComparisonResult(trials, points, refused)


def compare_accuracies(
    first: Accuracy,
    second: Accuracy,
    decisions: tuple[Bools, Bools],
    people: tuple[Numbers, Numbers],
    folds: Ints | None = None,
    level: float = 0.95,
) -> ComparedAccuracy:
    """Compare two accuracies trial by trial.

    Args:
        first, second: The accuracies of each model.
        decisions: Bool [T] each, whether each model was correct.
        people: Integers [T] each, the two people of each trial.
        folds: int64 [T] if the accuracy is the mean over folds.
        level: Confidence level of the interval.
    """
    gained: Doubles = decisions[1].astype(np.float64) - decisions[0]
    weights = np.full(len(gained), 1 / len(gained))
    if folds is not None:
        _, fold, sizes = np.unique(folds, return_inverse=True, return_counts=True)
        weights = 1 / (sizes[fold] * len(sizes))
    interval = mean_interval(gained, weights, people, level)
    paired = interval.model_copy(update={"method": f"paired {interval.method}"})
    return ComparedAccuracy(first, second, paired)
