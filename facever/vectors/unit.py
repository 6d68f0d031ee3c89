"""Unit vectors: made with their lengths kept, and checked."""

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError

_TOLERANCE = 1e-3  # of a unit vector's length: float32 and half precision round below it


def unit_rows(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide every row by its length.

    Args:
        vectors: [N, D], any floating type.

    Returns:
        Unit rows float32 [N, D] (a zero row stays zero) and their lengths before, float32 [N].

    Raises:
        DataError: A row holds NaN or infinity.
    """
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths))
    if len(wrong):
        raise DataError(f"vector {wrong[0]} holds NaN or infinity ({len(wrong)} such vectors)")
    units = exact / np.where(lengths > 0, lengths, 1)[:, None]
    return units.astype(np.float32), lengths.astype(np.float32)


def first_not_unit(vectors: NDArray[np.float32]) -> int | None:
    """Return the index of the first row [D] that is not of length 1 (NaN included), or None."""
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(squares - 1) <= 2 * _TOLERANCE))
    return int(wrong[0]) if len(wrong) else None
