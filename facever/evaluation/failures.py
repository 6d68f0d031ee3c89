"""Failures to acquire: images that could not be embedded, and the trials that they cost."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Failures:
    """Images that could not be embedded and the trials that they would have made."""

    images: int = 0
    failed: int = 0
    genuine: int = 0
    impostor: int = 0

    @property
    def rate(self) -> float:
        """Failures to acquire over images (FTA)."""
        return self.failed / self.images if self.images else 0.0

    def __str__(self) -> str:
        return f"{self.failed:,} of {self.images:,}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "images": self.images,
            "failed": self.failed,
            "rate": self.rate,
            "genuine_trials": self.genuine,
            "impostor_trials": self.impostor,
        }
