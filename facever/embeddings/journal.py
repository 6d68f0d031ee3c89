"""The journal of an extraction: a line for each written block of rows.

A line contains the block's first row, norms and errors, size and time of each image's file, the
columns of the face in each photo, and a checksum of these and of its vectors.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facever.core.json_files import parse_json

Stamp: TypeAlias = tuple[int, int] | None
"""A file's size in bytes and modification time in nanoseconds; None if there is no file."""


class JournalBlock(NamedTuple):
    """Neighbouring rows that were written together: their data without the vectors."""

    norms: NDArray[np.float32]
    errors: list[str | None]
    files: list[Stamp] | None = None
    """Stamp of each row's file when it was read; None if unknown."""
    columns: Sequence[Mapping[str, Any]] = ()
    """Columns of the face in each row's photo; empty for crops."""


def key_line(key: str) -> bytes:
    """Return the first line of a journal, which identifies the extraction."""
    return json.dumps({"key": key}).encode() + b"\n"


def block_line(first: int, block: JournalBlock, vectors: bytes) -> bytes:
    """Return the line of a block that begins at row `first`."""
    errors = {str(i): reason for i, reason in enumerate(block.errors) if reason is not None}
    said: dict[str, Any] = {"first": first, "norms": block.norms.tolist(), "errors": errors}
    if block.files is not None:
        said["files"] = [None if stamp is None else list(stamp) for stamp in block.files]
    if any(block.columns):
        said["columns"] = list(block.columns)
    return json.dumps({**said, "crc": _checksum(said, vectors)}).encode() + b"\n"


def read_block(
    line: bytes, rows: int, vectors: Callable[[int, int], bytes]
) -> tuple[int, JournalBlock] | None:
    """Return the first row and the block of a line, or None if the line or its vectors are damaged.

    Args:
        line: The line with its line end.
        rows: Number of rows of the extraction.
        vectors: Returns the bytes of stored vectors, given the first row and the number of rows.
    """
    try:
        said = parse_json(line)
    except ValueError:
        return None
    if not line.endswith(b"\n") or not isinstance(said, dict):
        return None
    first, norms, crc = said.get("first"), said.get("norms"), said.pop("crc", None)
    if type(first) is not int or not isinstance(norms, list):
        return None
    if not 0 <= first <= rows - len(norms):
        return None
    if _checksum(said, vectors(first, len(norms))) != crc:
        return None
    errors = [said["errors"].get(str(i)) for i in range(len(norms))]
    files = said.get("files")
    stamps = files and [None if stamp is None else (stamp[0], stamp[1]) for stamp in files]
    return first, JournalBlock(np.array(norms, np.float32), errors, stamps, said.get("columns", ()))


def _checksum(said: dict[str, Any], vectors: bytes) -> int:
    return zlib.crc32(json.dumps(said).encode(), zlib.crc32(vectors))
