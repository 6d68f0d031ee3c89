"""How far a training is."""

from dataclasses import dataclass


@dataclass
class Position:
    """How far a training is, and the best it has seen; all of it is in the checkpoint."""

    epoch: int = 0
    batch: int = 0
    update: int = 0
    best: float | None = None
    best_weights: str = "raw"
    since_best: int = 0
    failed_images: int = 0
