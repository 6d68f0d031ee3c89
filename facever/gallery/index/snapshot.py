"""The snapshot of a gallery's index: one file, derived from the store and memory-mapped.

Vectors (float32 [N, D]), image numbers and people's keys (int64 [N]) follow each other; a JSON
trailer says what they are, and a CRC-32 of the whole file comes last. The file holds the state of
the store at one change. It is written under a temporary name and renamed, so that a reader has
either the old one or the new one, and never trusted when its checksum is wrong.
"""

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from facever.files import atomic_path
from facever.gallery.records import Change, Keys, Vectors

FILE = "index.snapshot"
FORMAT = 1
_MAGIC = b"FVINDEX\0"
_FOOTER = struct.Struct("<8sII")  # magic, length of the trailer, CRC-32 of all before the CRC
_BLOCK_BYTES = 1 << 24
_SHARE = 0.05  # of a snapshot: farther behind, a new one is worth its writing
_LEAST = 1000  # images: so few are searched as fast without a snapshot
_ABANDONED_AFTER = 3600.0  # seconds without a write: whoever wrote it was killed


class SnapshotError(Exception):
    """A snapshot that cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Trailer:
    """What a snapshot says of itself."""

    gallery: str
    change: int
    stamp: str
    count: int
    dimension: int
    format: int = FORMAT


@dataclass(frozen=True)
class Snapshot:
    """The vectors of a store at one change.

    Args:
        trailer: Which store and which change.
        vectors: float32 [N, D], memory-mapped.
        images: Image numbers, int64 [N], ascending.
        owners: People's keys, int64 [N], in memory; -1 is written over the removed.
    """

    trailer: Trailer
    vectors: Vectors
    images: Keys
    owners: Keys

    @classmethod
    def empty(cls, dimension: int) -> Self:
        """Return the snapshot of nothing, at change 0."""
        none = np.empty(0, np.int64)
        return cls(
            Trailer("", 0, "", 0, dimension), np.empty((0, dimension), np.float32), none, none
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a snapshot and check it whole.

        Raises:
            SnapshotError: It is missing, truncated, damaged or of a newer format.
        """
        try:
            content = np.memmap(path, np.uint8, mode="r")
        except FileNotFoundError as error:
            raise SnapshotError("missing") from error
        except (OSError, ValueError) as error:
            raise SnapshotError("damaged") from error
        trailer = _trailer(content)
        count, dimension = trailer.count, trailer.dimension
        ends = np.cumsum([4 * count * dimension, _padding(count * dimension), 8 * count, 8 * count])
        vectors = content[: ends[0]].view("<f4").reshape(count, dimension)
        images = content[ends[1] : ends[2]].view("<i8")
        owners = content[ends[2] : ends[3]].view("<i8")
        return cls(trailer, vectors, images, np.array(owners, np.int64))


def write_snapshot(
    path: Path,
    gallery: str,
    change: Change,
    parts: list[tuple[Vectors, Keys, Keys]],
) -> None:
    """Write the living rows of `parts`, atomically and readable by the owner only.

    Args:
        path: The file.
        gallery: The gallery's own identifier.
        change: The state of the store that the parts are.
        parts: (vectors [N, D], images [N], owners [N]) in the order of image numbers; rows with
            owner -1 are left out.
    """
    _sweep(path)
    images = np.concatenate([images[owners >= 0] for _, images, owners in parts])
    owners = np.concatenate([owners[owners >= 0] for _, _, owners in parts])
    dimension = parts[0][0].shape[1]
    trailer = Trailer(gallery, change.number, change.stamp, len(images), dimension)
    said = json.dumps(asdict(trailer)).encode()
    with atomic_path(path) as temporary:
        temporary.chmod(0o600)
        with temporary.open("wb") as file:
            crc = 0
            for block in _blocks(parts):
                crc = _put(file, block, crc)
            crc = _put(file, bytes(_padding(len(images) * dimension)), crc)
            crc = _put(file, images.astype("<i8").tobytes(), crc)
            crc = _put(file, owners.astype("<i8").tobytes(), crc)
            crc = _put(file, said, crc)
            footer = _FOOTER.pack(_MAGIC, len(said), 0)[:-4]
            file.write(footer + struct.pack("<I", zlib.crc32(footer, crc)))


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what tells this snapshot from one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def count_in(path: Path) -> int:
    """Return how many images a snapshot says that it has, unchecked; 0 where there is none."""
    with suppress(OSError, ValueError, KeyError, struct.error), path.open("rb") as file:
        file.seek(-_FOOTER.size, os.SEEK_END)
        length = _FOOTER.unpack(file.read())[1]
        file.seek(-_FOOTER.size - length, os.SEEK_END)
        return int(json.loads(file.read(length))["count"])
    return 0


def allowed_lag(count: int) -> int:
    """Return how many images a snapshot of `count` images may be behind the store."""
    return max(_LEAST, int(_SHARE * count))


def _trailer(content: NDArray[np.uint8]) -> Trailer:
    if len(content) < _FOOTER.size:
        raise SnapshotError("damaged")
    crc = 0
    for start in range(0, len(content) - 4, _BLOCK_BYTES):
        crc = zlib.crc32(content[start : min(start + _BLOCK_BYTES, len(content) - 4)].data, crc)
    magic, length, expected = _FOOTER.unpack(content[-_FOOTER.size :].tobytes())
    if magic != _MAGIC or crc != expected:
        raise SnapshotError("damaged")
    said: dict[str, Any] = json.loads(content[-_FOOTER.size - length : -_FOOTER.size].tobytes())
    if said["format"] > FORMAT:
        raise SnapshotError(f"of a newer format ({said['format']})")
    return Trailer(**said)


def _blocks(parts: list[tuple[Vectors, Keys, Keys]]) -> Iterator[bytes]:
    for vectors, _, owners in parts:
        step = max(1, _BLOCK_BYTES // (4 * vectors.shape[1]))
        for start in range(0, len(vectors), step):
            block = slice(start, start + step)
            yield vectors[block][owners[block] >= 0].astype("<f4").tobytes()


def _put(file: BinaryIO, content: bytes, crc: int) -> int:
    file.write(content)
    return zlib.crc32(content, crc)


def _padding(values: int) -> int:
    """Return the bytes after so many float32 values that let int64 values begin."""
    return 4 * (values % 2)


def _sweep(path: Path) -> None:
    """Delete what killed writers left; a file that is being written is never that old."""
    for leftover in path.parent.glob(f".{path.stem}.*.tmp{path.suffix}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER:
                leftover.unlink()
