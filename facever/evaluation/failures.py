"""Failures to acquire and to enrol: counts, rates, and their cost in trials.

Failed images are unreadable files, and photos without a face above the quality threshold.

Reference:
    ISO/IEC 19795-1:2021, failure-to-acquire rate (FTA) and failure-to-enrol rate (FTE).
"""

from dataclasses import dataclass

from facever.operating_point import Interval
from facever.render.values import Record

_NOTE = "too narrow if images of one person fail together: it assumes independent images"


@dataclass(frozen=True)
class FailureRate(Record):
    """Number of failed attempts of all attempts.

    Attributes:
        failed: Number of failed attempts.
        attempts: Number of all attempts.
    """

    failed: int = 0
    attempts: int = 0

    json_keys = "failed attempts rate interval"

    @property
    def rate(self) -> float:
        """Failures over attempts; 0 without attempts."""
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def interval(self) -> Interval | None:
        """Clopper-Pearson interval at 95 %; None without attempts."""
        from facever.evaluation.statistics.intervals import clopper_pearson  # imports SciPy

        return clopper_pearson(self.failed, self.attempts, note=_NOTE) if self.attempts else None

    def told(self, name: str) -> str:
        """Return "3 of 150 (FTA 0.02, 95% 0.00414 to 0.0573)"; only the counts if none failed."""
        counts = f"{self.failed:,} of {self.attempts:,}"
        found = self.interval if self.failed else None
        if found is None:
            return counts
        rate = f"{name} {self.rate:.3g}, {found.level:.0%} {found.low:.3g} to {found.high:.3g}"
        return f"{counts} ({rate})"


@dataclass(frozen=True)
class Failures(Record):
    """Images that could not be embedded, and their lost trials.

    Attributes:
        images: Number of all images.
        failed: Number of images that could not be embedded.
        genuine, impostor: Numbers of trials that they would have been in.
    """

    images: int = 0
    failed: int = 0
    genuine: int = 0
    impostor: int = 0

    json_keys = "images failed rate interval genuine_trials=genuine impostor_trials=impostor"

    @property
    def counted(self) -> FailureRate:
        """Failed images of all images."""
        return FailureRate(self.failed, self.images)

    @property
    def rate(self) -> float:
        """Failures to acquire over images (FTA)."""
        return self.counted.rate

    @property
    def interval(self) -> Interval | None:
        """Interval of the rate; None without images."""
        return self.counted.interval

    def __str__(self) -> str:
        return self.counted.told("FTA")


@dataclass(frozen=True)
class ComparisonFailures(Record):
    """Comparisons without a score, of all comparisons of each class; they count as rejected.

    Attributes:
        genuine, impostor: Failed comparisons of all genuine, and of all impostor trials.
    """

    genuine: FailureRate = FailureRate()
    impostor: FailureRate = FailureRate()

    json_keys = "genuine impostor"

    def __str__(self) -> str:
        return (
            f"{self.genuine.failed:,} of {self.genuine.attempts:,} genuine, "
            f"{self.impostor.failed:,} of {self.impostor.attempts:,} impostor "
            "(counted as rejected, in every rate)"
        )
