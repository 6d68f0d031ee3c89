"""MATLAB 5 files (`save -v7` and `-v6`), read by SciPy after their sizes were checked.

Reference:
    The MathWorks: MAT-File Format, "Level 5 MAT-File Format": a header of 128 bytes, then elements
    of a tag (type and size, 32 bits each) and their data; type 14 is a matrix, 15 is compressed.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facever.core.files import read_regular
from facever.data.tables import shortened
from facever.errors import DataError

MOST_BYTES = 1_000_000_000
"""Largest size of a file, and of what is compressed in it."""

_HEADER = 128
_ENDS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_PIECE = 1 << 20


def read_mat(path: Path, what: str, names: Sequence[str]) -> dict[str, Any]:
    """Return variables of a MATLAB 5 file.

    Dimensions of size 1 are removed. Texts are str, cell arrays are object arrays, structures are
    objects with their fields as attributes.

    Args:
        path: The file.
        what: What it must be, for errors.
        names: The variables.

    Raises:
        DataError: The file cannot be read, is damaged, truncated, too large or of another version,
            or has no variable of a name.
    """
    from scipy.io import loadmat, whosmat

    try:
        content = read_regular(path, MOST_BYTES)
        _check_sizes(content)
        found = [name for name, _, _ in whosmat(io.BytesIO(content))]
        absent = next((name for name in names if name not in found), None)
        if absent is None:
            loaded = loadmat(
                io.BytesIO(content),
                squeeze_me=True,
                struct_as_record=False,
                variable_names=list(names),
            )
            return {name: loaded[name] for name in names}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damage can make SciPy raise anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is not {what}: {reason}") from error
    raise DataError(
        f"{path} is not {what}: it has no variable '{absent}' (found: {shortened(found) or 'none'})"
    )


def _check_sizes(content: bytes) -> None:
    """Check the header and the size of each element.

    Raises:
        ValueError: They do not fit the content.
    """
    if content[:10] == b"MATLAB 7.3" or content[512:516] == b"\x89HDF":
        raise ValueError("it is of MATLAB 7.3 (HDF5): save it in MATLAB with -v7")
    order = _ENDS.get(content[126:_HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file")
    place, room = _HEADER, MOST_BYTES
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError(f"it is truncated at byte {len(content):,}")
        kind, size = struct.unpack_from(f"{order}II", content, place)
        place += 8
        if kind not in (_MATRIX, _COMPRESSED):
            raise ValueError(f"it is damaged at byte {place - 8:,}")
        if place + size > len(content):
            raise ValueError(f"it is truncated: byte {place - 8:,} announces {size:,} bytes")
        if kind == _COMPRESSED:
            room -= _unpacked(content[place : place + size], room)
        place += size


def _unpacked(data: bytes, most: int) -> int:
    """Return the size of compressed data; raise ValueError if it is above `most`."""
    machine, size = zlib.decompressobj(), 0
    while data and not machine.eof:
        piece = machine.decompress(data, _PIECE)
        size += len(piece)
        if size > most:
            raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        if not piece and not machine.unconsumed_tail:
            break
        data = machine.unconsumed_tail
    return size
