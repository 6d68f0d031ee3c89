"""Counts of a verification (1:1): operating points, accuracy, and all together."""

from collections.abc import Callable
from dataclasses import dataclass, field

from facever.embeddings.similarities import Similarity
from facever.embeddings.template_policies import ALL
from facever.evaluation.failures import ComparisonFailures, Failures
from facever.evaluation.one_to_one.groups import GroupRates
from facever.evaluation.one_to_one.suspects import Suspects
from facever.evaluation.overlap import Overlap
from facever.evaluation.scoring.trials import Histogram
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.evaluation.statistics.roc import Rate, RocCurve
from facever.operating_point import Images, Interval, Kind, TrialCounts
from facever.render.values import Record


@dataclass(frozen=True)
class MeasuredPoint(Record):
    """TAR at a FAR, with the counts at its threshold.

    Attributes:
        far_target: The requested FAR, never exceeded.
        threshold: Half way from the (k + 1)-th largest impostor score, k = floor(far_target ·
            impostors), to the next score of either class.
        false_accepts: Impostor scores above the threshold, at most k.
        true_accepts: Genuine scores above the threshold.
        trials: Genuine and impostor trials.
        interval: Interval of the TAR.
        far_interval: Interval of the FAR.
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
        """True accepts over genuine trials (1 - FNMR)."""
        return self.true_accepts / self.trials.genuine

    @property
    def false_rejects(self) -> int:
        """Genuine scores not above the threshold."""
        return self.trials.genuine - self.true_accepts

    json_keys = (
        "far_target far tar fmr=far fnmr threshold false_accepts false_rejects interval "
        "far_interval few_false_accepts few_false_rejects"
    )

    @property
    def fnmr(self) -> float:
        """False rejects over genuine trials (1 - TAR)."""
        return self.false_rejects / self.trials.genuine

    @property
    def few_false_accepts(self) -> bool:
        """Whether there are too few false accepts for a reliable rate."""
        return self.false_accepts < FEW_ERRORS

    @property
    def few_false_rejects(self) -> bool:
        """Whether there are too few false rejects for a reliable rate."""
        return self.false_rejects < FEW_ERRORS


@dataclass(frozen=True)
class Refused(Record):
    """A FAR that the trials cannot support.

    Attributes:
        far_target: The requested FAR.
        needs: Number of impostor trials that it needs.
    """

    far_target: float
    needs: int


@dataclass(frozen=True)
class Accuracy(Record):
    """Share of correct decisions at thresholds chosen on other trials.

    Attributes:
        mean: Mean over the test trials (View 1) or over the folds.
        standard_error: sd(ddof 1) / sqrt(folds), or binomial for a single test.
        thresholds: One, or one per fold.
        method: How thresholds and standard error were computed.
        interval: Interval of the accuracy.
    """

    mean: float
    standard_error: float
    thresholds: list[float]
    method: str
    interval: Interval | None = None

    json_keys = "mean standard_error thresholds method interval"


@dataclass(frozen=True)
class Counted:
    """All counts of one verification.

    Attributes:
        protocol: Which pairs are the trials.
        similarity: Kind of score; None for scores of another system.
        trials: Numbers of genuine and of impostor trials.
        auc, eer: Area under the ROC, and equal error rate, each with the bound of its error.
        eer_hull: Equal error rate on the convex hull of the ROC.
        operating_points: Rates and counts at each FAR that the trials support.
        refused: The other FARs, with the impostor trials that they need.
        curve: FMR and FNMR over all thresholds.
        histogram: Scores of both classes, counted in bins.
        worst_impostors: The highest impostor trials, as (row, row, score).
        worst_genuine: The lowest genuine trials, as (row, row, score).
        auc_interval, eer_interval: Their intervals, clustered by person.
        accuracy: Accuracy at thresholds chosen on other trials, if the protocol has one.
        overlap: Overlap of the people of the trials with the training.
        failures: Images that could not be embedded.
        comparisons: Failed comparisons among the trials, where another system's scores may have
            them.
        groups: Rates within and across the values of each column, at one threshold.
        groups_at: The operating point whose threshold all groups use.
        band: With `detail`: points along the curve, with intervals.
        suspects: With `detail`: images with suspected wrong labels.
        dataset: Name of the data set.
        fingerprint: Fingerprint of the model; None if unknown.
        kind, templates: Kind and template policy of its operating points.
        images: Whether the images are photos or crops; None if unknown.
        normalisation: The score normalisation, or None.
        distances: Whether scores and thresholds are negated distances of another system.
        warnings: Warnings for the reader.
        measure_at: Measures further points on the kept scores.
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
    eer_interval: Interval | None = None
    accuracy: Accuracy | None = None
    overlap: Overlap = field(default_factory=lambda: Overlap(None, 0, [], None))
    failures: Failures = field(default_factory=Failures)
    comparisons: ComparisonFailures | None = None
    groups: dict[str, list[GroupRates]] = field(default_factory=dict)
    groups_at: MeasuredPoint | None = None
    band: list[MeasuredPoint] = field(default_factory=list)
    suspects: Suspects | None = None
    dataset: str = ""
    fingerprint: str | None = None
    kind: Kind = "1:1-image"
    templates: str = ALL
    images: Images | None = None
    normalisation: str | None = None
    distances: bool = False
    warnings: list[str] = field(default_factory=list)
    measure_at: Callable[[float], MeasuredPoint | Refused] | None = field(
        default=None, repr=False, compare=False
    )

    def with_failures(self, point: MeasuredPoint) -> tuple[float, float]:
        """Return FAR and TAR including the trials of failed images, which count as rejected.

        FAR = FMR (1 - FTA) and TAR = (1 - FNMR) (1 - FTA), with FTA counted over the trials.
        """
        impostor = self.trials.impostor + self.failures.impostor
        genuine = self.trials.genuine + self.failures.genuine
        return point.false_accepts / impostor, point.true_accepts / genuine
