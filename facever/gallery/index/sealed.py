"""Files that say what they hold and whether they are whole: content, a JSON trailer, a checksum.

A reader trusts nothing of such a file before its checksum is right. The checksum is made for files
of gigabytes that are opened often: one multiplication and one addition for eight bytes, as fast as
memory gives them. Every block of 8 KiB, read as 64-bit words, is multiplied by odd weights that
all differ and summed modulo 2^64, so that one wrong word, or any two wrong bits, change the sum;
a CRC-32 goes over the sums and what follows the last whole block.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

CHUNK = 1 << 24  # bytes read at once, a whole number of blocks
_WORDS = 1024  # of 8 bytes: a block
_WEIGHTS = (2 * np.arange(_WORDS, dtype=np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
_FOOTER = struct.Struct("<8sII")  # magic, length of the trailer, checksum of all before it


class SealError(Exception):
    """A file that cannot be used; the message is the reason."""


def checksum(chunks: Iterable[Bytes]) -> int:
    """Return the checksum of bytes that come in chunks.

    Args:
        chunks: uint8 arrays; all but the last are a whole number of blocks of 8 KiB long.
    """
    crc = 0
    for chunk in chunks:
        whole = len(chunk) - len(chunk) % (8 * _WORDS)
        sums = chunk[:whole].view("<u8").reshape(-1, _WORDS) @ _WEIGHTS
        crc = zlib.crc32(sums.astype("<u8").tobytes(), crc)
        crc = zlib.crc32(chunk[whole:].tobytes(), crc)
    return crc


def seal(path: Path, magic: bytes, said: Mapping[str, Any]) -> None:
    """End a file with what it says of itself and its checksum.

    Args:
        path: The file, with all of its content.
        magic: Eight bytes that name its kind.
        said: Plain values.
    """
    trailer = json.dumps(said, allow_nan=False).encode()
    with path.open("ab") as file:
        file.write(trailer + _FOOTER.pack(magic, len(trailer), 0)[:-4])
    with path.open("r+b") as file:
        found = checksum(_read(path))
        file.seek(0, 2)
        file.write(struct.pack("<I", found))


def unseal(path: Path, magic: bytes, former: bytes = b"") -> tuple[Bytes, dict[str, Any]]:
    """Map a sealed file into memory, check all of it, and return content and trailer.

    Args:
        path: The file.
        magic: What `seal` was given.
        former: The magic of an older format, which had another checksum.

    Raises:
        SealError: "missing", "damaged", "of an older format" or "of another format".
    """
    try:
        content = np.memmap(path, np.uint8, mode="r")
    except FileNotFoundError as error:
        raise SealError("missing") from error
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise SealError("damaged") from error
    if len(content) < _FOOTER.size:
        raise SealError("damaged")
    found, length, expected = _FOOTER.unpack(content[-_FOOTER.size :].tobytes())
    end = len(content) - 4
    chunks = (content[start : min(start + CHUNK, end)] for start in range(0, end, CHUNK))
    if found == former:
        raise SealError("of an older format")
    if checksum(chunks) != expected:
        raise SealError("damaged")
    if found != magic:
        raise SealError("of another format")
    end = len(content) - _FOOTER.size - length
    return content[:end], dict(json.loads(content[end : -_FOOTER.size].tobytes()))


def said_by(path: Path) -> dict[str, Any]:
    """Return what a sealed file says of itself, unchecked; nothing where there is none."""
    with suppress(OSError, ValueError, struct.error), path.open("rb") as file:
        file.seek(-_FOOTER.size, 2)
        length = _FOOTER.unpack(file.read())[1]
        file.seek(-_FOOTER.size - length, 2)
        said = json.loads(file.read(length))
        if isinstance(said, dict):
            return said
    return {}


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what tells this file from one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def padding(size: int) -> int:
    """Return the bytes after so many that let int64 values begin."""
    return -size % 8


def _read(path: Path) -> Iterator[Bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            yield np.frombuffer(part, np.uint8)
