"""Failures to acquire: images that could not be embedded, and the trials that they cost."""

from dataclasses import dataclass

from facever.evaluation.statistics.intervals import clopper_pearson
from facever.operating_point import Interval
from facever.render.values import Record

_NOTE = "too narrow where images of one person fail together: it takes them for independent"


@dataclass(frozen=True)
class Failures(Record):
    """Images that could not be embedded and the trials that they would have made.

    They are unreadable files, and photos without a face or with none above the quality gate.

    Reference:
        ISO/IEC 19795-1:2021, failure-to-acquire rate.
    """

    images: int = 0
    failed: int = 0
    genuine: int = 0
    impostor: int = 0

    json_keys = "images failed rate interval genuine_trials=genuine impostor_trials=impostor"

    @property
    def rate(self) -> float:
        """Failures to acquire over images (FTA)."""
        return self.failed / self.images if self.images else 0.0

    @property
    def interval(self) -> Interval | None:
        """Of the rate; None without images."""
        return rate_interval(self.failed, self.images)

    def __str__(self) -> str:
        return counted_rate("FTA", self.failed, self.images)


def rate_interval(failed: int, attempts: int) -> Interval | None:
    """Return the interval of a rate of failures (FTA, FTE); None without attempts."""
    return clopper_pearson(failed, attempts, note=_NOTE) if attempts else None


def counted_rate(name: str, failed: int, attempts: int) -> str:
    """Return "3 of 150 (FTA 0.02, 95 % 0.0041 to 0.0573)"; the counts alone where none failed."""
    counts = f"{failed:,} of {attempts:,}"
    found = rate_interval(failed, attempts)
    if not failed or found is None:
        return counts
    return (
        f"{counts} ({name} {failed / attempts:.3g}, {found.level:.0%} {found.low:.3g} to "
        f"{found.high:.3g})"
    )
