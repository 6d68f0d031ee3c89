"""What verification (1:1) measured: rates with their counts, intervals and provenance."""

from dataclasses import dataclass, field
from typing import Any

from facever.console import table
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.groups import GroupRates, table_rows
from facever.evaluation.operating_point import Interval, Kind, OperatingPoint, TrialCounts
from facever.evaluation.overlap import Overlap
from facever.evaluation.scoring.similarity import Similarity
from facever.evaluation.scoring.trials import Histogram
from facever.evaluation.statistics.roc import Rate, RocCurve

_FEW = 30


@dataclass(frozen=True)
class MeasuredPoint:
    """TAR at a FAR: what was asked for, and what was counted at the threshold.

    Attributes:
        far_target: The FAR asked for, never exceeded.
        threshold: The (k + 1)-th largest impostor score, k = floor(far_target · impostors).
        false_accepts: Impostor scores above the threshold, at most k.
        true_accepts: Genuine scores above the threshold.
        trials: Genuine and impostor trials.
        interval: Of the TAR.
        far_interval: Of the FAR.
    """

    far_target: float
    threshold: float
    false_accepts: int
    true_accepts: int
    trials: TrialCounts
    interval: Interval
    far_interval: Interval

    @property
    def far(self) -> float:
        """False accepts over impostor trials (FMR)."""
        return self.false_accepts / self.trials.impostor

    @property
    def tar(self) -> float:
        """Genuine trials accepted over genuine trials (1 - FNMR)."""
        return self.true_accepts / self.trials.genuine


@dataclass(frozen=True)
class Refused:
    """A FAR that the trials cannot support, and how many impostor trials it needs."""

    far_target: float
    needs: int


@dataclass(frozen=True)
class Accuracy:
    """Share of right decisions at thresholds chosen on other trials.

    Attributes:
        mean: Over the test trials (View 1) or over the folds.
        standard_error: sd(ddof 1) / sqrt(folds), or binomial for a single test.
        thresholds: One, or one per fold.
        method: How thresholds and standard error came about.
        interval: Of the accuracy of a single test.
    """

    mean: float
    standard_error: float
    thresholds: list[float]
    method: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Failures:
    """Images that could not be embedded and the trials that they would have made."""

    images: int = 0
    failed: int = 0
    genuine: int = 0
    impostor: int = 0


@dataclass(frozen=True)
class VerificationResult:
    """Everything that was measured, for the command line, the report and `to_dict()`.

    `worst_impostors` are the highest impostor trials and `worst_genuine` the lowest genuine ones,
    as (row, row, score). `kind` is that of its operating points; `normalisation` names what was
    done to the scores after the similarity, if anything.
    """

    protocol: str
    similarity: Similarity | None
    trials: TrialCounts
    auc: Rate
    eer: Rate
    eer_hull: float
    operating_points: list[MeasuredPoint]
    refused: list[Refused]
    curve: RocCurve
    histogram: Histogram
    worst_impostors: list[tuple[int, int, float]]
    worst_genuine: list[tuple[int, int, float]]
    auc_interval: Interval | None = None
    accuracy: Accuracy | None = None
    overlap: Overlap = field(default_factory=lambda: Overlap(None, 0, [], None))
    failures: Failures = field(default_factory=Failures)
    groups: dict[str, list[GroupRates]] = field(default_factory=dict)
    dataset: str = ""
    fingerprint: str | None = None
    kind: Kind = "1:1-image"
    normalisation: str | None = None
    warnings: list[str] = field(default_factory=list)

    def at(self, far: float) -> MeasuredPoint:
        """Return what was measured at a FAR that was asked for.

        Raises:
            EvaluationError: The FAR was not asked for, or was refused.
        """
        for point in self.operating_points:
            if point.far_target == far:
                return point
        for refused in self.refused:
            if refused.far_target == far:
                raise EvaluationError(
                    f"a FAR of {far:g} needs {refused.needs} impostor trials; "
                    f"there are {self.trials.impostor}"
                )
        raise EvaluationError(f"FAR {far:g} was not measured: name it among the FARs")

    def operating_point(self, far: float) -> OperatingPoint:
        """Return the operating point that meets a FAR, for galleries and `facever verify`.

        Raises:
            EvaluationError: The FAR was not asked for, or was refused.
        """
        point = self.at(far)
        if self.similarity is None:
            raise EvaluationError("scores of another system make no operating point for a gallery")
        if self.normalisation is not None:
            raise EvaluationError(
                "normalised scores make no operating point: galleries and verify know no cohort"
            )
        return OperatingPoint(
            kind=self.kind,
            threshold=point.threshold,
            similarity=self.similarity,
            target_rate=far,
            achieved_rate=point.far,
            trials=self.trials,
            interval=point.far_interval,
            dataset=self.dataset,
            fingerprint=self.fingerprint,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, the same as `--json` prints."""
        accuracy = self.accuracy
        return {
            "protocol": self.protocol,
            "similarity": self.similarity,
            "kind": self.kind,
            "normalisation": self.normalisation,
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "trials": self.trials.model_dump(),
            "auc": self.auc.value,
            "auc_bound": self.auc.bound,
            "auc_interval": self.auc_interval and self.auc_interval.model_dump(),
            "eer": self.eer.value,
            "eer_bound": self.eer.bound,
            "eer_hull": self.eer_hull,
            "accuracy": None
            if accuracy is None
            else {
                "mean": accuracy.mean,
                "standard_error": accuracy.standard_error,
                "thresholds": accuracy.thresholds,
                "method": accuracy.method,
                "interval": accuracy.interval and accuracy.interval.model_dump(),
            },
            "operating_points": [self._point(point) for point in self.operating_points],
            "refused": [
                {"far_target": refused.far_target, "needs": refused.needs}
                for refused in self.refused
            ],
            "overlap": self.overlap.to_dict(),
            "groups": {
                column: [rates.to_dict() for rates in found]
                for column, found in self.groups.items()
            },
            "failure_to_acquire": {
                "images": self.failures.images,
                "failed": self.failures.failed,
                "genuine_trials": self.failures.genuine,
                "impostor_trials": self.failures.impostor,
            },
            "warnings": self.warnings,
        }

    def to_text(self) -> str:
        """Return the result as a person reads it."""
        failed = self.failures
        normalised = f", {self.normalisation}" if self.normalisation else ""
        lines = [
            f"protocol        {self.protocol}, {self.similarity or 'foreign'} scores{normalised}",
            f"trials          {self.trials.genuine:,} genuine, {self.trials.impostor:,} impostor",
            f"failed images   {failed.failed:,} of {failed.images:,} (not in the trials)",
            f"training        {self.overlap}",
            f"AUC             {_with_bound(self.auc)}",
            f"EER             {_with_bound(self.eer)}   on the convex hull {self.eer_hull:.4%}",
        ]
        if self.accuracy is not None:
            lines.append(
                f"accuracy        {self.accuracy.mean:.2%} ± {self.accuracy.standard_error:.2%} "
                f"({self.accuracy.method})"
            )
        rows = [
            [
                f"{point.far_target:g}",
                f"{point.far:.3g}",
                point.false_accepts,
                f"{point.tar:.4f}",
                f"{point.interval.low:.4f} - {point.interval.high:.4f}",
                f"{point.threshold:.6g}",
            ]
            for point in self.operating_points
        ]
        if rows:
            level = f"{self.operating_points[0].interval.level:.0%} of TAR"
            headers = ["FAR target", "FAR", "false accepts", "TAR", level, "threshold"]
            lines += ["", table(headers, rows)]
            interval = self.operating_points[0].interval
            note = f": {interval.note}" if interval.note else ""
            lines.append(f"intervals: {interval.method}{note}")
        lines += [
            f"FAR {refused.far_target:g} is refused: it needs {refused.needs:,} impostor trials"
            for refused in self.refused
        ]
        for column, found in self.groups.items():
            far = self.operating_points[-1].far_target
            lines += ["", f"by {column}, at the threshold of FAR {far:g}"]
            lines.append(table([column, "FMR", "FNMR"], table_rows(found)))
        return "\n".join(lines)

    def _point(self, point: MeasuredPoint) -> dict[str, Any]:
        """Return one operating point; a failed image rejects, so it lowers both rates."""
        genuine = self.trials.genuine + self.failures.genuine
        impostor = self.trials.impostor + self.failures.impostor
        return {
            "far_target": point.far_target,
            "far": point.far,
            "tar": point.tar,
            "threshold": point.threshold,
            "false_accepts": point.false_accepts,
            "interval": point.interval.model_dump(),
            "far_interval": point.far_interval.model_dump(),
            "few_errors": point.false_accepts < _FEW,
            "with_failures": {
                "far": point.false_accepts / impostor,
                "tar": point.true_accepts / genuine,
            },
        }


def _with_bound(rate: Rate) -> str:
    return f"{rate.value:.5f}" + (f" (bins: ± {rate.bound:.1g})" if rate.bound else "")
