"""Images inside tar files: "shard-00001.tar#1536+20480" is 20,480 bytes from byte 1,536 on."""

import os
import re
from functools import lru_cache
from io import FileIO
from pathlib import Path

from facever.data.arrays import split_address

BLOCK = 512
"""A tar file's unit: a header takes one, and stands right before its member's bytes."""

_ADDRESS = re.compile(r"(.+\.tar)#(\d+)\+(\d+)", re.DOTALL)
_SIZE = slice(124, 136)  # of a header: the member's size, octal


def address_of(tar: str, offset: int, size: int) -> str:
    """Return the path of the member whose `size` bytes begin at byte `offset` of a tar file."""
    return f"{tar}#{offset}+{size}"


def split_member(path: str) -> tuple[str, int, int] | None:
    """Return the tar file, offset and size that a path addresses, or None."""
    found = _ADDRESS.fullmatch(path) if "#" in path else None
    return (found[1], int(found[2]), int(found[3])) if found else None


def file_of(path: str) -> str:
    """Return the file that an image's path needs: itself, or the file that the image lies in."""
    return (split_member(path) or split_address(path) or (path,))[0]


def read_member(tar: str, offset: int, size: int) -> bytes:
    """Return the bytes of one member. The tar file stays open, for the next one.

    Its header is looked at too: a tar file that is not the one that was indexed is refused rather
    than read at a wrong place.

    Raises:
        ValueError: The reason why there is no such member.
        OSError: The file cannot be opened.
    """
    status = os.stat(tar)  # noqa: PTH116  (Path takes 10 us)
    file = _open(tar, status.st_mtime_ns, status.st_size)
    if offset + size > status.st_size:
        raise ValueError(
            f"truncated shard: it has {status.st_size:,} bytes, and the image ends at byte "
            f"{offset + size:,}"
        )
    content = os.pread(file.fileno(), BLOCK + size, offset - BLOCK) if offset >= BLOCK else b""
    if len(content) != BLOCK + size or not _says(content[_SIZE], size):
        raise ValueError(f"another shard than was indexed: no image of {size:,} bytes is there")
    return content[BLOCK:]


def _says(field: bytes, size: int) -> bool:
    try:
        return int(field.strip(b" \0") or b"0", 8) == size
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _open(tar: str, _modified: int, _size: int) -> FileIO:
    return Path(tar).open("rb", buffering=0)  # closed when nobody reads it and others came
