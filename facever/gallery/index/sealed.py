"""Sealed files: content, a JSON trailer that describes it, and a checksum of both.

A reader verifies the checksum before it uses the content. The checksum is designed for files of
gigabytes that are opened often: one multiplication and one addition per eight bytes, four times as
fast as zlib's CRC-32. Every block of 8 KiB, read as 64-bit words, is multiplied by different odd
weights and summed modulo 2^64, so that one wrong word, or any two wrong bits, change the sum. A
CRC-32 covers the sums and the bytes after the last whole block.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.core.files import open_regular
from facever.core.json_files import parse_json

Bytes = NDArray[np.uint8]

CHUNK = 1 << 20  # bytes per read, a whole number of blocks
_WORDS = 1024  # words of 8 bytes per block
_WEIGHTS = (2 * np.arange(_WORDS, dtype=np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
_FOOTER = struct.Struct(
    "<8sII"
)  # magic, length of the trailer, checksum of all bytes before the footer


class SealError(Exception):
    """A file that cannot be used; the message is the reason."""


def checksum(chunks: Iterable[Bytes]) -> int:
    """Return the checksum of bytes given in chunks.

    Args:
        chunks: uint8 arrays; all but the last are a whole number of blocks of 8 KiB long.
    """
    crc = 0
    for chunk in chunks:
        whole = len(chunk) - len(chunk) % (8 * _WORDS)
        sums = np.einsum("ij,j->i", chunk[:whole].view("<u8").reshape(-1, _WORDS), _WEIGHTS)
        crc = zlib.crc32(sums.astype("<u8").tobytes(), crc)
        crc = zlib.crc32(chunk[whole:].tobytes(), crc)
    return crc


def seal(path: Path, magic: bytes, said: Mapping[str, Any]) -> None:
    """Append trailer and checksum to a file.

    Args:
        path: The file with its complete content.
        magic: Eight bytes that identify the kind of file.
        said: The trailer, as plain values.
    """
    trailer = json.dumps(said, allow_nan=False).encode()
    with path.open("ab") as file:
        file.write(trailer + _FOOTER.pack(magic, len(trailer), 0)[:-4])
    with path.open("r+b") as both:
        found = checksum(_chunks(both, path.stat().st_size))
        both.seek(0, 2)
        both.write(struct.pack("<I", found))


def unseal(path: Path, magic: bytes, former: Sequence[bytes] = ()) -> tuple[Bytes, dict[str, Any]]:
    """Map a sealed file into memory, verify it, and return content and trailer.

    Args:
        path: The file.
        magic: The value given to `seal`.
        former: The values of older formats.

    Raises:
        SealError: "missing", "damaged", "of an older format" or "of another format".
    """
    try:
        with BufferedReader(open_regular(path)) as file:
            size = os.fstat(file.fileno()).st_size  # the file may have been replaced
            if size < _FOOTER.size:
                raise SealError("damaged")
            file.seek(size - _FOOTER.size)
            found, length, expected = _FOOTER.unpack(file.read(_FOOTER.size))
            if found in former:
                raise SealError("of an older format")
            file.seek(0)  # reading is as fast as touching mapped pages, and needs no memory
            if checksum(_chunks(file, size - 4)) != expected:
                raise SealError("damaged")
            content = np.memmap(file, np.uint8, mode="r")
    except FileNotFoundError as error:
        raise SealError("missing") from error
    except (OSError, struct.error) as error:
        raise SealError("damaged") from error
    if found != magic:
        raise SealError("of another format")
    end = size - _FOOTER.size - length
    try:
        said = parse_json(content[end : -_FOOTER.size].tobytes())
    except ValueError as error:
        raise SealError("damaged") from error
    if not isinstance(said, dict):
        raise SealError("damaged")
    return content[:end], said


def said_by(path: Path) -> dict[str, Any]:
    """Return the trailer of a sealed file without verification; empty if there is no file."""
    with suppress(OSError, ValueError, struct.error), BufferedReader(open_regular(path)) as file:
        file.seek(-_FOOTER.size, 2)
        length = _FOOTER.unpack(file.read())[1]
        file.seek(-_FOOTER.size - length, 2)
        said = parse_json(file.read(length))
        if isinstance(said, dict):
            return said
    return {}


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file is replaced; None for a missing file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def padding(size: int) -> int:
    """Return the number of padding bytes for an alignment to eight bytes."""
    return -size % 8


def _chunks(file: BufferedIOBase, size: int) -> Iterator[Bytes]:
    """Yield the next bytes of a file; all chunks share one buffer."""
    buffer = np.empty(CHUNK, np.uint8)
    while size > 0 and (count := file.readinto(buffer[: min(CHUNK, size)].data)):
        size -= count
        yield buffer[:count]
