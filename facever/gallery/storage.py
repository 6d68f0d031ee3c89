"""Number formats of stored vectors: exact, or smaller and rounded.

float32 is restored bit for bit. float16 takes half the bytes. int8 takes a quarter: each vector is
scaled so that its largest absolute value is 127. Both are normalised again when read, so the scale
is not stored: only the direction matters. The sum of their squares is exact in float64, so that the
decoded vector and its checksum are the same on every machine.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facever.errors import GalleryError
from facever.gallery.records import STORAGES, Storage, Vectors

_TYPES = {"float32": "<f4", "float16": "<f2", "int8": "i1"}
_ROWS_AT_ONCE = 4096
_TOLERANCE = 2e-3  # of a squared length: rounding of float16, and vectors of earlier versions


def checked_storage(kind: str) -> Storage:
    """Return a storage format.

    Raises:
        GalleryError: There is no such format.
    """
    for known in STORAGES:
        if kind == known:
            return known
    raise GalleryError(f"storage is {kind!r} (allowed: {', '.join(STORAGES)})")


def bytes_of(kind: Storage, dimension: int) -> int:
    """Return the number of bytes of one vector."""
    return np.dtype(_TYPES[kind]).itemsize * dimension


def encoded(vectors: Vectors, kind: Storage) -> Iterator[bytes]:
    """Yield the bytes of each vector.

    Args:
        vectors: float32 [N, D], unit rows.
        kind: Storage format.
    """
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        block = np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], np.float32)
        if kind == "int8":
            block = np.rint(block * (127 / np.abs(block).max(axis=1, keepdims=True)))
        for row in np.ascontiguousarray(block, dtype=_TYPES[kind]):
            yield row.tobytes()


def decoded(blobs: Sequence[bytes], kind: Storage, dimension: int) -> Vectors:
    """Return the vectors float32 [N, D], unit rows; a damaged vector gives an arbitrary row or NaN.

    Raises:
        ValueError: A blob has another length.
    """
    matrix = _matrix(blobs, kind, dimension)
    if kind == "float32":
        return matrix
    exact = matrix.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        exact /= np.sqrt(np.einsum("nd,nd->n", exact, exact))[:, None]
        return exact.astype(np.float32)


def plausible(blobs: Sequence[bytes], kind: Storage, dimension: int) -> NDArray[np.bool_]:
    """Return which blobs [N] can be encodings of a unit row.

    Raises:
        ValueError: A blob has another length.
    """
    matrix = _matrix(blobs, kind, dimension).astype(np.float64)
    found: NDArray[np.bool_]
    if kind == "int8":
        found = np.abs(matrix).max(axis=1, initial=0) == 127
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            found = np.abs(np.einsum("nd,nd->n", matrix, matrix) - 1) <= _TOLERANCE
    return found


def _matrix(blobs: Sequence[bytes], kind: Storage, dimension: int) -> Vectors:
    if set(map(len, blobs)) - {bytes_of(kind, dimension)}:
        raise ValueError("vectors of another dimension")
    return np.frombuffer(b"".join(blobs), _TYPES[kind]).reshape(len(blobs), dimension)
