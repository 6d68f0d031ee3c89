"""How far apart two models' vectors of the same images are, and when they are one space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError
from facever.render.values import Record

SAME_SPACE = 1e-5
"""Largest cosine distance of two models' vectors of an image that makes them one embedding space.
A score changes by at most 0.0045 then; rounding in fp32 gives about 1e-13."""


@dataclass(frozen=True)
class Distances(Record):
    """Cosine distances (1 - cosine) of the vectors of the same images by two models.

    Attributes:
        images: Number of images.
        largest: The largest distance.
        mean: The mean distance.
        lengths: Largest relative difference of the vectors' lengths before normalisation; None if
            one model gives unit vectors, whose lengths say nothing.
    """

    images: int
    largest: float
    mean: float
    lengths: float | None

    @property
    def one_space(self) -> bool:
        """Whether the vectors may be compared with each other."""
        return self.largest <= SAME_SPACE


def distances_of(first: NDArray[np.floating], second: NDArray[np.floating]) -> Distances:
    """Compare two matrices of vectors [N, D] row by row, in float64.

    Args:
        first: Vectors of one model, of any length above 0.
        second: Vectors of the same images by another model.

    Raises:
        DataError: There are none, shapes differ, or a vector is zero, infinite or NaN.
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise DataError(f"vectors {list(first.shape)} and {list(second.shape)} cannot be compared")
    (one, lengths), (two, others) = _units(first), _units(second)
    far = 0.5 * np.square(one - two).sum(axis=1)  # 1 - cosine, without its rounding
    units = any(np.allclose(found, 1, atol=1e-4) for found in (lengths, others))
    apart = None if units else float(np.abs(others / lengths - 1).max())
    return Distances(len(far), float(far.max()), float(far.mean()), apart)


def _units(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise DataError(f"vector {wrong[0]} is zero, infinite or NaN")
    return exact / lengths[:, None], lengths
