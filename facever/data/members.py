"""Images inside large files: "shard-00001.tar#1536+20480" is 20,480 bytes from byte 1,536 on.

In the shards that facever writes "=9ae0c1f2" follows, the CRC-32 of these bytes. In a RecordIO file
("train.rec#1536+20480") the bytes are a whole record, and the image is what it holds; in a
verification set of insightface ("lfw.bin#1536+20480=9ae0c1f2") they are the image.
"""

import os
import re
import zlib
from functools import lru_cache
from io import FileIO

from facever.core.files import open_regular
from facever.data.arrays import split_address
from facever.data.machine import most_open_files
from facever.data.recordio import parse_record

BLOCK = 512
"""Block size of a tar file: a header is one block, directly before its member's bytes."""

_ADDRESS = re.compile(r"(.+\.(?:tar|rec|bin))#(\d+)\+(\d+)(?:=([0-9a-f]{8}))?", re.DOTALL)
_SIZE = slice(124, 136)  # field of a header: the member's size, octal
_MOST_OPEN = min(most_open_files() // 2, 4096)


def address_of(tar: str, offset: int, size: int, checksum: int | None = None) -> str:
    """Return the path of the member whose `size` bytes begin at byte `offset` of a tar file."""
    return f"{tar}#{offset}+{size}" + ("" if checksum is None else f"={checksum:08x}")


def split_member(path: str) -> tuple[str, int, int, int | None] | None:
    """Return the tar file, offset, size and checksum that a path addresses, or None."""
    found = _ADDRESS.fullmatch(path) if "#" in path else None
    if found is None:
        return None
    return found[1], int(found[2]), int(found[3]), int(found[4], 16) if found[4] else None


def file_of(path: str) -> str:
    """Return the file of an image's path: the path itself, or the file that contains the image."""
    return (split_member(path) or split_address(path) or (path,))[0]


def read_member(tar: str, offset: int, size: int, checksum: int | None = None) -> bytes:
    """Return the bytes of one member; the tar file stays open for the next one.

    Checks the member's header, and the checksum if known, so that a tar file that has changed since
    it was indexed is refused.

    Raises:
        ValueError: There is no such member; the message is the reason.
        OSError: The file cannot be opened.
    """
    file = _open(tar)
    try:
        return _read(tar, file, offset, size, checksum)
    except ValueError:
        if os.path.samestat(os.stat(tar), os.fstat(file.fileno())):  # noqa: PTH116
            raise
    close_files()  # the file was replaced after it was opened
    return _read(tar, _open(tar), offset, size, checksum)


def close_files() -> None:
    """Close the open tar files, which may have been replaced."""
    _open.cache_clear()


def _read(tar: str, file: FileIO, offset: int, size: int, checksum: int | None) -> bytes:
    if tar.endswith(".rec"):
        return _image_of_record(file, offset, size)
    if tar.endswith(".bin"):
        return _checked(os.pread(file.fileno(), size, offset), checksum)
    found = os.pread(file.fileno(), BLOCK + size, offset - BLOCK) if offset >= BLOCK else b""
    if len(found) < BLOCK + size and offset + size > (length := os.fstat(file.fileno()).st_size):
        raise ValueError(
            f"truncated shard: it has {length:,} bytes, but the image ends at byte "
            f"{offset + size:,}"
        )
    if len(found) != BLOCK + size or not _says(found[_SIZE], size):
        raise ValueError(
            "the shard has changed since it was indexed: there is no image of "
            f"{size:,} bytes at this position"
        )
    return _checked(found[BLOCK:], checksum)


def _checked(content: bytes, checksum: int | None) -> bytes:
    if checksum is not None and zlib.crc32(content) != checksum:
        raise ValueError(
            "the shard has changed since it was indexed, or is damaged: the checksum is wrong"
        )
    return content


def _image_of_record(file: FileIO, offset: int, size: int) -> bytes:
    try:
        return parse_record(os.pread(file.fileno(), size, offset)).image
    except ValueError as error:
        raise ValueError(
            f"truncated, damaged, or another file than was indexed: no record of {size:,} bytes "
            f"at byte {offset:,} ({error})"
        ) from error


def _says(field: bytes, size: int) -> bool:
    try:
        return int(field.strip(b" \0") or b"0", 8) == size
    except ValueError:
        return False


@lru_cache(_MOST_OPEN)
def _open(tar: str) -> FileIO:
    return open_regular(tar)  # closed when unused and others are opened
