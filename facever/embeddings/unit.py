"""Unit vectors: normalisation and checks."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from facever.errors import DataError

_TOLERANCE = 1e-3  # of a unit vector's length: larger than rounding in float32 and half precision
ROUNDING = 2e-6  # of a unit vector's length: larger than rounding in float32


def unit_rows(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide every row by its length.

    Args:
        vectors: [N, D], any floating type.

    Returns:
        Unit rows float32 [N, D] (a zero row remains zero) and their original lengths, float32 [N].

    Raises:
        DataError: A row contains NaN or infinity.
    """
    exact = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths))
    if len(wrong):
        raise DataError(f"vector {wrong[0]} contains NaN or infinity ({len(wrong)} such vectors)")
    units = exact / np.where(lengths > 0, lengths, 1)[:, None]
    return units.astype(np.float32), lengths.astype(np.float32)


def first_not_unit(vectors: NDArray[np.float32]) -> int | None:
    """Return the index of the first row [D] that is not of length 1 (or is NaN), or None."""
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(squares - 1) <= 2 * _TOLERANCE))
    return int(wrong[0]) if len(wrong) else None


def pair_cosines(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the cosine similarity of each pair of rows: the score for comparison with a threshold.

    The score of a pair does not depend on the other pairs: sums are computed in float64, row by
    row, and rows whose length is not exactly 1 (half precision, int8) are divided by their lengths.

    Args:
        first: [N, D], any floating type.
        second: [N, D].

    Returns:
        float32 [N], from -1 to 1; NaN for a row that contains NaN or infinity or is zero.
    """
    one = np.ascontiguousarray(first, dtype=np.float64)
    other = np.ascontiguousarray(second, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", one, one) * np.einsum("nd,nd->n", other, other))
        cosines = np.einsum("nd,nd->n", one, other) / lengths
    clipped: NDArray[np.float32] = np.minimum(np.maximum(cosines, -1), 1).astype(np.float32)
    return clipped


def unit_block(
    embeddings: NDArray[np.floating],
    errors: Sequence[str | None],
    name: Callable[[int], str],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide the rows of a block by their lengths; those of failed images become zero.

    Args:
        embeddings: [B, D], not normalised.
        errors: [B], the reason why an image could not be embedded, or None.
        name: Returns the name of a row of the block for messages.

    Returns:
        Unit rows float32 [B, D] and their original lengths, float32 [B].

    Raises:
        DataError: An embedding is zero or not finite.
    """
    block = np.array(embeddings, dtype=np.float32)
    failed = np.array([reason is not None for reason in errors], dtype=bool)
    block[failed] = 0
    wrong = ~failed & ~(np.isfinite(block).all(axis=1) & block.any(axis=1))
    if wrong.any():
        raise DataError(f"the embedding of {name(int(wrong.argmax()))} is zero or not finite")
    return unit_rows(block)
