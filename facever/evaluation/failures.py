"""Failures to acquire: images that could not be embedded, and the trials that they cost."""

from dataclasses import dataclass

from facever.render.values import Record


@dataclass(frozen=True)
class Failures(Record):
    """Images that could not be embedded and the trials that they would have made."""

    images: int = 0
    failed: int = 0
    genuine: int = 0
    impostor: int = 0

    json_keys = "images failed rate genuine_trials=genuine impostor_trials=impostor"

    @property
    def rate(self) -> float:
        """Failures to acquire over images (FTA)."""
        return self.failed / self.images if self.images else 0.0

    def __str__(self) -> str:
        return f"{self.failed:,} of {self.images:,}"
