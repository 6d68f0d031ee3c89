"""MATLAB 5 files byte by byte, from The MathWorks' "Level 5 MAT-File Format"."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

INT8, UINT8, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED = 1, 2, 4, 5, 6, 9, 14, 15
CELL_CLASS, STRUCT_CLASS, CHAR_CLASS, DOUBLE_CLASS = 1, 2, 4, 6
_TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12}
_CLASSES = {"f8": 6, "f4": 7, "i1": 8, "u1": 9, "i2": 10, "u2": 11, "i4": 12, "u4": 13, "i8": 14}


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    """A tag (type and size) and data, filled up to 8 bytes."""
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def small(kind: int, data: bytes) -> bytes:
    """A small element: size, type and up to 4 bytes in 8."""
    return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")


def _array(klass: int, shape: Sequence[int], name: str, *parts: bytes, order: str = "<") -> bytes:
    flags = element(UINT32, struct.pack(f"{order}II", klass, 0), order)
    dimensions = element(INT32, struct.pack(f"{order}{len(shape)}i", *shape), order)
    head = flags + dimensions + element(INT8, name.encode(), order)
    return element(MATRIX, head + b"".join(parts), order)


def numbers(
    values: Sequence[float] | np.ndarray, name: str = "", shown: str | None = None
) -> bytes:
    """An array, column by column; a sequence is a column of doubles, [N, 1].

    `shown` is its class, such as "f8", if it is stored in a smaller type.
    """
    held = values if isinstance(values, np.ndarray) else np.array(values, "<f8")[:, None]
    order, kind = held.dtype.str[0].replace("|", "<"), held.dtype.str[1:]
    data = element(_TYPES[kind], held.tobytes("F"), order)
    return _array(_CLASSES[shown or kind], held.shape, name, data, order=order)


def text(value: str | Sequence[str], name: str = "") -> bytes:
    """A row of characters, [1, L]; or several rows, filled with spaces."""
    rows = [value] if isinstance(value, str) else value
    width = max(map(len, rows))
    codes = np.array([[ord(c) for c in row.ljust(width)] for row in rows], "<u2")
    return _array(CHAR_CLASS, codes.shape, name, element(UINT16, codes.tobytes("F")))


def cell(items: Sequence[bytes], name: str = "", shape: Sequence[int] | None = None) -> bytes:
    """A cell array of arrays without names, by columns; [N, 1] unless `shape` is given."""
    return _array(CELL_CLASS, shape or (len(items), 1), name, *items)


def structure(fields: Mapping[str, bytes], name: str = "") -> bytes:
    """One structure, [1, 1]."""
    length = 32
    names = b"".join(key.encode().ljust(length, b"\0") for key in fields)
    parts = small(INT32, struct.pack("<i", length)), element(INT8, names)
    return _array(STRUCT_CLASS, (1, 1), name, *parts, *fields.values())


def compressed(array: bytes) -> bytes:
    """An array as `save -v7` writes it; compressed elements are not filled up."""
    data = zlib.compress(array)
    return struct.pack("<II", COMPRESSED, len(data)) + data


def mat_file(*arrays: bytes, order: str = "<") -> bytes:
    """A file: 116 bytes of text, 8 of offsets, version 0x0100, "IM" for little-endian."""
    head = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8)
    return head + struct.pack(f"{order}HH", 0x0100, 0x4D49) + b"".join(arrays)
