"""MATLAB 5 files byte by byte, from The MathWorks' "Level 5 MAT-File Format"."""

import struct
import zlib
from collections.abc import Sequence

INT8, UINT8, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED = 1, 2, 4, 5, 6, 9, 14, 15
CELL_CLASS, STRUCT_CLASS, CHAR_CLASS, DOUBLE_CLASS = 1, 2, 4, 6


def element(kind: int, data: bytes) -> bytes:
    """A tag (type and size) and data, filled up to 8 bytes."""
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _array(klass: int, shape: Sequence[int], name: str, *parts: bytes) -> bytes:
    flags = element(UINT32, struct.pack("<II", klass, 0))
    dimensions = element(INT32, struct.pack(f"<{len(shape)}i", *shape))
    return element(MATRIX, flags + dimensions + element(INT8, name.encode()) + b"".join(parts))


def numbers(values: Sequence[float], name: str = "") -> bytes:
    """A column of doubles, [N, 1]."""
    data = element(DOUBLE, struct.pack(f"<{len(values)}d", *values))
    return _array(DOUBLE_CLASS, (len(values), 1), name, data)


def text(value: str, name: str = "") -> bytes:
    """A row of characters, [1, L]."""
    data = element(UINT16, value.encode("utf-16-le"))
    return _array(CHAR_CLASS, (1, len(value)), name, data)


def cell(items: Sequence[bytes], name: str = "", shape: Sequence[int] | None = None) -> bytes:
    """A cell array of arrays without names, by columns; [N, 1] unless `shape` is given."""
    return _array(CELL_CLASS, shape or (len(items), 1), name, *items)


def structure(fields: dict[str, bytes], name: str = "") -> bytes:
    """One structure, [1, 1]."""
    length = 32
    names = b"".join(key.encode().ljust(length, b"\0") for key in fields)
    parts = element(INT32, struct.pack("<i", length)), element(INT8, names)
    return _array(STRUCT_CLASS, (1, 1), name, *parts, *fields.values())


def compressed(array: bytes) -> bytes:
    """An array as `save -v7` writes it; compressed elements are not filled up."""
    data = zlib.compress(array)
    return struct.pack("<II", COMPRESSED, len(data)) + data


def mat_file(*arrays: bytes) -> bytes:
    """A file: 116 bytes of text, 8 of offsets, version 0x0100, "IM" for little-endian."""
    return (
        b"MATLAB 5.0 MAT-file".ljust(116)
        + bytes(8)
        + struct.pack("<HH", 0x0100, 0x4D49)
        + (b"".join(arrays))
    )
