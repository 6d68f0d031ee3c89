"""The checksum of a vector: made when it is enrolled, verified before a score is made of it.

It is the CRC-32 of the vector as searches compare by it (float32, as it comes out of its storage)
and of whose it is, so that one checksum serves wherever a copy lies: a flipped bit, two vectors
that changed places and a vector that became another person's are all seen.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facever.gallery.records import Checksums, Keys, Vectors

_WHOSE = struct.Struct("<qq")


def checksums_of(numbers: Keys, owners: Keys, vectors: Vectors) -> Checksums:
    """Return the checksum of each vector.

    Args:
        numbers: Of the entries, int64 [N].
        owners: People's keys, int64 [N].
        vectors: float32 [N, D].

    Returns:
        uint32 [N].
    """
    return checksums_of_bytes(numbers, owners, np.ascontiguousarray(vectors, "<f4"))


def checksums_of_bytes(numbers: Keys, owners: Keys, rows: Vectors | Sequence[bytes]) -> Checksums:
    """Return what `checksums_of` does, of the bytes of float32 vectors [N], lowest byte first."""
    pack, crc32 = _WHOSE.pack, zlib.crc32
    return np.fromiter(
        (
            crc32(row, crc32(pack(number, owner)))
            for number, owner, row in zip(numbers.tolist(), owners.tolist(), rows, strict=True)
        ),
        np.uint32,
        len(rows),
    )


def checksum_of_texts(*texts: bytes) -> int:
    """Return the CRC-32 of texts (UTF-8) in their order, as of what a gallery decides by."""
    return zlib.crc32(b"\0".join(texts))


def intact(
    numbers: Keys, owners: Keys, vectors: Vectors, checksums: Checksums
) -> NDArray[np.bool_]:
    """Return which vectors [N] are as they were enrolled."""
    whole: NDArray[np.bool_] = checksums_of(numbers, owners, vectors) == checksums
    return whole
