"""How vectors are written: as they are, or smaller and rounded.

float32 comes back bit for bit. float16 takes half of that. int8 takes a quarter: each vector is
scaled so that its largest value becomes 127. Both are normalised again when they are read, so the
scale need not be kept: the direction is all that counts.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from facever.errors import DataError, GalleryError
from facever.gallery.records import STORAGES, Storage, Vectors
from facever.vectors.unit import first_not_unit, unit_rows

_TYPES = {"float32": "<f4", "float16": "<f2", "int8": "i1"}
_ROWS_AT_ONCE = 4096


def checked_storage(kind: str) -> Storage:
    """Return a kind of storage.

    Raises:
        GalleryError: There is none of that name.
    """
    for known in STORAGES:
        if kind == known:
            return known
    raise GalleryError(f"storage is {kind!r} (allowed: {', '.join(STORAGES)})")


def bytes_of(kind: Storage, dimension: int) -> int:
    """Return how many bytes one vector takes."""
    return np.dtype(_TYPES[kind]).itemsize * dimension


def encoded(vectors: Vectors, kind: Storage) -> Iterator[bytes]:
    """Yield the bytes of each vector.

    Args:
        vectors: float32 [N, D], unit rows.
        kind: How they are written.
    """
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        block = np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], np.float32)
        if kind == "int8":
            block = np.rint(block * (127 / np.abs(block).max(axis=1, keepdims=True)))
        for row in np.ascontiguousarray(block, dtype=_TYPES[kind]):
            yield row.tobytes()


def decoded(blobs: Sequence[bytes], kind: Storage, dimension: int) -> Vectors:
    """Return the vectors float32 [N, D], unit rows.

    Raises:
        ValueError: A blob of another length, or one that holds NaN or infinity.
    """
    matrix = _matrix(blobs, kind, dimension)
    if kind == "float32":
        return matrix
    try:
        return unit_rows(matrix)[0]
    except DataError as error:
        raise ValueError("a vector that is no vector") from error


def first_damaged(blobs: Sequence[bytes], kind: Storage, dimension: int) -> int | None:
    """Return the index of the first blob that `encoded` cannot have made of a unit row, or None.

    Raises:
        ValueError: A blob of another length.
    """
    matrix = _matrix(blobs, kind, dimension).astype(np.float32)
    if kind == "int8":
        wrong = np.flatnonzero(np.abs(matrix).max(axis=1) != 127)
        return int(wrong[0]) if len(wrong) else None
    return first_not_unit(matrix)  # float16 rounds by less than it tolerates


def _matrix(blobs: Sequence[bytes], kind: Storage, dimension: int) -> Vectors:
    if set(map(len, blobs)) - {bytes_of(kind, dimension)}:
        raise ValueError("vectors of another dimension")
    return np.frombuffer(b"".join(blobs), _TYPES[kind]).reshape(len(blobs), dimension)
