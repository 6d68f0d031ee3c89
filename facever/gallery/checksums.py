"""The checksum of a vector: computed at enrolment, verified before the vector is scored.

It is the CRC-32 of the vector as searches use it (float32, decoded from its storage) and of its
number and owner, so that one checksum is valid for every copy. It detects flipped bits, exchanged
vectors and vectors with a wrong owner.
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
        numbers: Numbers of the entries, int64 [N].
        owners: People's keys, int64 [N].
        vectors: float32 [N, D].

    Returns:
        uint32 [N].
    """
    return checksums_of_bytes(numbers, owners, np.ascontiguousarray(vectors, "<f4"))


def checksums_of_bytes(numbers: Keys, owners: Keys, rows: Vectors | Sequence[bytes]) -> Checksums:
    """Return the checksums of float32 vectors [N] given as little-endian bytes."""
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
    """Return the CRC-32 of texts (UTF-8) in order, such as those of an operating point."""
    return zlib.crc32(b"\0".join(texts))


def checksum_of_crop(number: int, owner: int, alignment: bytes, png: bytes) -> int:
    """Return the CRC-32 of a crop, with the number and the owner of its image."""
    return zlib.crc32(png, zlib.crc32(alignment + b"\0", zlib.crc32(_WHOSE.pack(number, owner))))


def intact(
    numbers: Keys, owners: Keys, vectors: Vectors, checksums: Checksums
) -> NDArray[np.bool_]:
    """Return which vectors [N] match their checksums."""
    whole: NDArray[np.bool_] = checksums_of(numbers, owners, vectors) == checksums
    return whole
