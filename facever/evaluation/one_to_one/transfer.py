"""Transfer of thresholds to another set of people: the error rates there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.cells import (
    errors,
    far_and_interval,
    few_notes,
    interval_notes,
    level_of,
    rate_and_interval,
)
from facever.evaluation.columns import people_column
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.failures import Failures
from facever.evaluation.inputs import Embeddings, as_set, kind_of, others_measured
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.protocols.judged import judged
from facever.evaluation.protocols.request import Request
from facever.evaluation.protocols.templates import templates_for
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
from facever.operating_point import Interval, OperatingPoint, TrialCounts
from facever.render.blocks import Facts, Section, Table
from facever.render.numbers import far, score
from facever.render.result import Result
from facever.render.values import Record

Verdict = Literal["met", "exceeded", "not resolved"]


@dataclass(frozen=True)
class RealisedPoint(Record):
    """An operating point, measured on other trials than those it was set on.

    Attributes:
        point: The operating point.
        false_accepts: Impostor scores above its threshold.
        false_rejects: Genuine scores not above it.
        trials: Numbers of trials.
        fmr_interval, fnmr_interval: Intervals of the measured rates, clustered by identity if the
            identities are known.
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
        """Whether the measured FMR meets the target, according to its interval."""
        if self.fmr_interval.high <= self.point.target_rate:
            return "met"
        return "exceeded" if self.fmr_interval.low > self.point.target_rate else "not resolved"

    json_keys = (
        "operating_point=point fmr_target=point.target_rate fmr fmr_interval fnmr fnmr_interval "
        "false_accepts false_rejects few_false_accepts few_false_rejects verdict"
    )

    @property
    def few_false_accepts(self) -> bool:
        """Whether there are too few false accepts for a reliable rate."""
        return self.false_accepts < FEW_ERRORS

    @property
    def few_false_rejects(self) -> bool:
        """Whether there are too few false rejects for a reliable rate."""
        return self.false_rejects < FEW_ERRORS


@dataclass(frozen=True)
class TransferResult(Result):
    """Operating points of one set on the trials of another.

    Attributes:
        trials: Numbers of trials of the other set.
        points: The operating points, in the given order.
        protocol: The protocol of the trials.
        dataset: Name of the other set.
        failures: Images of the other set that could not be embedded.
        warnings: Warnings for the reader.
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
        """Return the rates of each threshold on these trials."""
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
    source: OperatingPoint | Sequence[OperatingPoint] | Embeddings,
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
    fingerprint: str | None = None,
    dataset: str = "",
    trained_on: pd.DataFrame | None = None,
) -> TransferResult:
    """Measure the error rates of thresholds on other people.

    Args:
        source: An operating point or several, of one similarity and of kind "1:1-image" or
            "1:1-template"; or embeddings: thresholds are then chosen on all of their pairs.
        embeddings: Target embeddings by the same model, as for `verification`.
        identities: [N], if `embeddings` are vectors [N, D].
        far: False accept rates for which thresholds are chosen, if the source is embeddings.
        protocol, pairs, allow_overlap, data: The trials of `embeddings`; see `verification`.
        similarity: Similarity, if the source is embeddings; an operating point has its own.
        exclude: Columns of the rows, also of the source if it is embeddings.
        level: Confidence level of the intervals.
        fingerprint, dataset, trained_on: As for `verification`; the fingerprint applies to all
            plain arrays.

    Raises:
        EvaluationError: There is no point, a point has kind "1:N", points differ in similarity,
            model or kind (images, templates) differ, or the source supports no FAR; also the
            errors of `verification`.
    """
    warnings: list[str] = []
    chooser = None
    points = _points(source)
    if points is None:
        chooser = as_set(source, similarity=similarity, fingerprint=fingerprint)  # type: ignore[arg-type]
        points, warnings = _chosen(chooser, far, similarity, exclude, level)
    metric = check_points(points)
    target = as_set(
        embeddings,
        identities,
        similarity=metric,
        fingerprint=fingerprint,
        dataset=dataset,
        trained_on=trained_on,
    )
    target = templates_for(target, pairs)
    for point in points:
        _check_fit(point, target)
    if points[0].fingerprint is None:
        warnings.append("the operating point has no fingerprint: check that it is of this model")
    warnings += (
        _data_of_both(points, target) if chooser is None else _people_of_both(chooser, target)
    )
    warnings += others_measured(points, target)
    request = Request(target, protocol, pairs, metric, exclude, None, allow_overlap, data)
    found = judged(request, [point.target_rate for point in points])
    if found.overlap:
        warnings.append(str(found.overlap))
    there = [realised(found.trials, point, level) for point in points]
    return TransferResult(
        there[0].trials, there, request.name, target.meta.dataset, found.failures, warnings
    )


def _points(source: Any) -> list[OperatingPoint] | None:
    """Return the given operating points; None if the source is embeddings."""
    given = [source] if isinstance(source, OperatingPoint) else source
    if not isinstance(given, list | tuple):
        return None
    return list(given) if all(isinstance(one, OperatingPoint) for one in given) else None


def _chosen(
    source: EmbeddingSet,
    far: Sequence[float],
    similarity: str | None,
    exclude: Sequence[str],
    level: float,
) -> tuple[list[OperatingPoint], list[str]]:
    """Return operating points chosen on all pairs, and a message for each refused FAR."""
    measured = verification(source, far=far, similarity=similarity, exclude=exclude, level=level)
    refused = [
        f"FAR {one.far_target:g} is omitted: it needs {one.needs:,} impostor trials, the source "
        "has "
        f"{measured.trials.impostor:,}"
        for one in measured.refused
    ]
    if not measured.operating_points:
        raise EvaluationError(f"no threshold to transfer: {'; '.join(refused)}")
    rates = [point.far_target for point in measured.operating_points]
    return [measured.operating_point(rate) for rate in rates], refused


def _check_fit(point: OperatingPoint, target: EmbeddingSet) -> None:
    if point.kind != kind_of(target):
        raise EvaluationError(
            f"the operating point has kind {point.kind}, the embeddings have kind "
            f"{kind_of(target)}: use an operating point of the same kind"
        )
    if point.fingerprint not in (None, target.meta.fingerprint):
        raise EvaluationError(
            f"the operating point has fingerprint {point.fingerprint}, the embeddings have "
            f"{target.meta.fingerprint}: use an operating point of the same model"
        )


def _data_of_both(points: Sequence[OperatingPoint], target: EmbeddingSet) -> list[str]:
    """Return a warning if points were set on the data that they are applied to."""
    named = {point.dataset for point in points} & {target.meta.dataset} - {""}
    return [
        f"the operating point was set on {name} too: rates on the people that a threshold was "
        "chosen on are too optimistic"
        for name in named
    ]


def _people_of_both(source: EmbeddingSet, target: EmbeddingSet) -> list[str]:
    """Return a warning if the thresholds were chosen on people of the target."""
    one, two = (set(people_column(side.identities)) for side in (source, target))
    shared = sorted(one & two)
    if not shared:
        return []
    return [
        f"{len(shared)} people are in both sets, first {shared[0]}: the thresholds were chosen on "
        "them too"
    ]


def check_points(points: Sequence[OperatingPoint]) -> str:
    """Return the similarity of 1:1 operating points.

    Raises:
        EvaluationError: There is no point, a point has kind "1:N", or the similarities differ.
    """
    similarities = sorted({point.similarity for point in points})
    if len(similarities) != 1:
        there = " and ".join(similarities) or "no similarity"
        raise EvaluationError(f"operating points must be of one similarity, not of {there}")
    if any(point.kind == "1:N" for point in points):
        raise EvaluationError(
            "a 1:N operating point sets a FPIR, not a FMR: give a 1:1 operating point"
        )
    return similarities[0]


def realised(trials: Trials, point: OperatingPoint, level: float = 0.95) -> RealisedPoint:
    """Count the errors of an operating point on trials that it was not set on.

    Args:
        trials: Scores of the point's similarity.
        point: The operating point.
        level: Confidence level of the intervals.
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
