"""The result of verification (1:1): rates with their counts, intervals and provenance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facever.errors import EvaluationError
from facever.evaluation.failures import Failures as Failures
from facever.evaluation.one_to_one.counts import Counted, MeasuredPoint, Refused
from facever.evaluation.one_to_one.description import describe, drawings
from facever.evaluation.statistics.roc import RocCurve
from facever.operating_point import OperatingPoint
from facever.render.blocks import Section
from facever.render.result import Result
from facever.render.svg import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class VerificationResult(Counted, Result):
    """The counts of a verification (`Counted`), with queries and presentation."""

    def at(self, far: float) -> MeasuredPoint:
        """Return the operating point at a FAR, measured now if it was not requested before.

        Raises:
            EvaluationError: The FAR is outside (0, 1), the trials cannot support it, or it is
                above all requested FARs and not all scores were kept.
        """
        point: MeasuredPoint | Refused | None = next(
            (one for one in self.operating_points if one.far_target == far), None
        )
        if point is None and self.measure_at is not None:
            point = self.measure_at(far)
        if point is None:
            raise EvaluationError(f"FAR {far:g} was not measured: add it to the FARs")
        if isinstance(point, Refused):
            raise EvaluationError(
                f"a FAR of {far:g} needs {point.needs:,} impostor trials; "
                f"there are {self.trials.impostor:,}"
            )
        return point

    def operating_point(self, far: float) -> OperatingPoint:
        """Return the operating point that meets a FAR, for galleries and `facever verify`.

        Raises:
            EvaluationError: The scores are normalised or of another system; also the errors of
                `at`.
        """
        point = self.at(far)
        if self.similarity is None:
            raise EvaluationError("scores of another system give no operating point for a gallery")
        if self.normalisation is not None:
            raise EvaluationError(
                "normalised scores give no operating point: galleries and verify do not use a "
                "cohort"
            )
        return OperatingPoint(
            kind=self.kind,
            templates=self.templates,
            threshold=point.threshold,
            similarity=self.similarity,
            target_rate=far,
            achieved_rate=point.far,
            trials=self.trials,
            interval=point.far_interval,
            miss_rate=(self.trials.genuine - point.true_accepts) / self.trials.genuine,
            miss_interval=point.interval.complement,
            dataset=self.dataset,
            fingerprint=self.fingerprint,
            images=self.images,
        )

    json_keys = (
        "protocol similarity kind templates normalisation distances dataset fingerprint images "
        "trials auc=auc.value auc_bound=auc.bound auc_interval eer=eer.value "
        "eer_bound=eer.bound eer_interval eer_hull accuracy "
        "operating_points=_points_with_failures refused overlap "
        "curve=_thinned_curve worst_impostors worst_genuine groups groups_at=_groups_threshold "
        "band suspects failure_to_acquire=failures failure_to_compare=comparisons warnings"
    )

    def describe(self) -> list[Section]:
        """Return the sections on accuracy, groups and suspected wrong labels."""
        return describe(self)

    def plot_roc(self, ax: "Axes | None" = None) -> "Axes":
        """Draw TAR against FAR into axes (new ones by default) and return them."""
        return plot(drawings(self)["roc"].drawing, ax)

    def plot_det(self, ax: "Axes | None" = None) -> "Axes":
        """Draw FNMR against FMR into axes (new ones by default) and return them."""
        return plot(drawings(self)["det"].drawing, ax)

    def plot_scores(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the score distributions into matplotlib axes (new ones by default)."""
        return plot(drawings(self)["scores"].drawing, ax)

    @property
    def _points_with_failures(self) -> list[dict[str, Any]]:
        return [
            {**point.to_dict(), "with_failures": dict(zip(("far", "tar"), rates, strict=True))}
            for point in self.operating_points
            for rates in [self.with_failures(point)]
        ]

    @property
    def _thinned_curve(self) -> RocCurve:
        return self.curve.thinned()

    @property
    def _groups_threshold(self) -> dict[str, float] | None:
        at = self.groups_at
        return None if at is None else {"far_target": at.far_target, "threshold": at.threshold}
