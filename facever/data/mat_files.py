"""MATLAB 5 files (`save -v6`, `-v7`): numbers, texts, cell arrays and structures.

Every size is checked before use. SciPy's reader is not used: it crashes the process on damaged
files (SciPy 1.17.1: 5 of 576 single inverted bytes of a small file ended in a segmentation fault).

Reference:
    The MathWorks: MAT-File Format, "Level 5 MAT-File Format": a header of 128 bytes, then elements
    of a tag (type and size, 32 bits each) and their data, filled up to 8 bytes.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from facever.core.files import read_regular
from facever.data.tables import shortened
from facever.errors import DataError

MOST_BYTES = 1_000_000_000
"""Largest size of a file, of what is compressed in it, and of one array."""

MOST_ARRAYS = 3_000_000
"""Largest number of arrays in the cell arrays and structures of a file."""

_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"} | {
    12: "i8",
    13: "u8",
}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"} | {
    14: "i8",
    15: "u8",
}
_TEXTS = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_COMPLEX = 0x08


def read_mat(path: Path, what: str, names: Sequence[str]) -> dict[str, Any]:
    """Return variables of a MATLAB 5 file.

    Args:
        path: The file.
        what: What it must be, for errors.
        names: The variables.

    Returns:
        Arrays without the dimensions of size 1: numbers; texts (str, one for each row); cell arrays
        (dtype object); structures (objects with their fields as attributes). Where one value is
        left, it is no array.

    Raises:
        DataError: The file cannot be read, is damaged, truncated, too large or of another version,
            holds another kind of array, or has no variable of a name.
    """
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not {what}: {error}") from error
    found: dict[str, _Matrix] = {}
    try:
        for matrix in _matrices(content):
            found[matrix.name] = matrix
        absent = next((name for name in names if name not in found), None)
        if absent is None:
            return {name: found[name].value() for name in names}
    except (ValueError, OverflowError, RecursionError, zlib.error) as error:
        raise DataError(f"{path} is not {what}: {error}") from error
    shown = shortened(found) or "none"
    raise DataError(f"{path} is not {what}: it has no variable '{absent}' (found: {shown})")


def _matrices(content: bytes) -> "Iterator[_Matrix]":
    """Yield the arrays of a file.

    Raises:
        ValueError: The header is another one, or the file is damaged.
    """
    if content[:10] == b"MATLAB 7.3" or content[512:516] == b"\x89HDF":
        raise ValueError("it is of MATLAB 7.3 (HDF5): save it in MATLAB with -v7")
    order = _ORDERS.get(content[126:_HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file")
    rest, room, left = memoryview(content)[_HEADER:], MOST_BYTES, [MOST_ARRAYS]
    while rest:
        kind, data, after = _element(rest, order)
        if kind == _COMPRESSED:  # not filled up to 8 bytes
            after = rest[8 + len(data) :]
            unpacked = zlib.decompressobj().decompress(data, room + 1)
            room -= len(unpacked)
            if room < 0:
                raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
            kind, data, _ = _element(memoryview(unpacked), order)
        if kind != _MATRIX:
            raise ValueError(f"it is damaged: element of type {kind} in the place of an array")
        yield _Matrix(data, order, left)
        rest = after


def _element(data: memoryview, order: str) -> tuple[int, memoryview, memoryview]:
    """Return the type and the data of the first element, and what is after it."""
    if len(data) < 8:
        raise ValueError("it is truncated")
    kind, size = (int(word) for word in np.frombuffer(data[:8], f"{order}u4"))
    if kind >> 16:  # a small element: 4 bytes of tag, up to 4 of data
        size, kind, start, after = kind >> 16, kind & 0xFFFF, 4, 8
        if size > 4:
            raise ValueError(f"it is damaged: small element of {size:,} bytes")
    else:
        start, after = 8, 8 + size + -size % 8
    if start + size > len(data):
        raise ValueError(f"it is truncated: {size:,} bytes are announced, {len(data) - 8:,} left")
    return kind, data[start : start + size], data[after:]


class _Matrix:
    """An array whose flags, dimensions and name are read.

    Args:
        data: The content of its element.
        order: "<" or ">".
        left: How many more arrays the file may hold, one number.

    Raises:
        ValueError: It is damaged.
    """

    def __init__(self, data: memoryview, order: str, left: list[int]) -> None:
        self._order, self._left = order, left
        self.name, self._class, self._shape, self._data = "", 6, (0, 0), data
        if not data:  # an empty array is an element without data
            return
        flags, data = self._array(data, _UINT32)
        shape, data = self._array(data, _INT32)
        name, self._data = self._array(data, _INT8)
        if len(flags) != 2 or len(shape) < 2 or (shape < 0).any():
            raise ValueError("it is damaged: flags or dimensions of an array")
        self.name = name.tobytes().decode()
        self._class, self._shape = int(flags[0]) & 0xFF, tuple(shape.tolist())
        if int(flags[0]) >> 8 & _COMPLEX:
            raise ValueError(f"'{self.name}' holds complex numbers, which are not read")

    def value(self) -> Any:
        """Return the content, see `read_mat`."""
        size = math.prod(self._shape)
        if self._class in _NUMBERS:
            values = self._numbers(size)
        elif self._class == _CHAR:
            return self._texts(size)
        elif self._class == _CELL:
            values = self._nested(self._data, size)
        elif self._class == _STRUCT:
            values = self._structures(size)
        else:
            raise ValueError(f"'{self.name}' is an array of class {self._class}, which is not read")
        return np.squeeze(values.reshape(self._shape, order="F"))[()] if size else values

    def _array(self, data: memoryview, kind: int) -> tuple[np.ndarray, memoryview]:
        """Return the numbers of an element of a given type, and what is after it."""
        found, held, after = _element(data, self._order)
        if found != kind:
            raise ValueError(f"it is damaged: element of type {found}, {kind} is expected")
        dtype = np.dtype(f"{self._order}{_STORED[kind]}")
        if len(held) % dtype.itemsize:
            raise ValueError(f"it is damaged: {len(held):,} bytes of type {kind}")
        return np.frombuffer(held, dtype), after

    def _numbers(self, size: int) -> np.ndarray:
        if not size:
            return np.empty(0, _NUMBERS[self._class])
        kind, held, _ = _element(self._data, self._order)
        stored = np.dtype(f"{self._order}{_STORED[kind]}") if kind in _STORED else None
        if stored is None or len(held) != size * stored.itemsize or size * 8 > MOST_BYTES:
            raise ValueError(
                f"'{self.name}' is damaged or too large: {len(held):,} bytes of type {kind} for "
                f"{size:,} numbers"
            )
        return np.frombuffer(held, stored).astype(_NUMBERS[self._class])

    def _texts(self, size: int) -> Any:
        if not size:
            return ""
        kind, held, _ = _element(self._data, self._order)
        if kind not in _TEXTS:
            raise ValueError(f"'{self.name}' is damaged: text of type {kind}")
        encoding = _TEXTS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        text = held.tobytes().decode(encoding)
        if len(text) != size or len(self._shape) != 2:
            raise ValueError(f"'{self.name}' is damaged: {len(text):,} of {size:,} characters")
        rows, length = self._shape
        if rows == 1:
            return text
        lines = ["".join(text[row::rows]) for row in range(rows)]
        return np.array(lines, dtype=f"U{length}")

    def _nested(self, data: memoryview, size: int) -> np.ndarray:
        """Return arrays that follow each other, as objects [N]."""
        if size * 8 > len(data):  # each has a tag
            raise ValueError(f"'{self.name}' is truncated: {size:,} arrays are announced")
        self._left[0] -= size
        if self._left[0] < 0:
            raise ValueError(f"it holds more than {MOST_ARRAYS:,} arrays")
        values = np.empty(size, object)
        for place in range(size):
            kind, held, data = _element(data, self._order)
            if kind != _MATRIX:
                raise ValueError(
                    f"'{self.name}' is damaged: element of type {kind} in a cell array"
                )
            values[place] = _Matrix(held, self._order, self._left).value()
        return values

    def _structures(self, size: int) -> np.ndarray:
        length, data = self._array(self._data, _INT32)
        names, data = self._array(data, _INT8)
        if len(length) != 1 or length[0] < 1 or len(names) % length[0]:
            raise ValueError(f"'{self.name}' is damaged: names of fields")
        text, step = names.tobytes(), int(length[0])
        fields = [
            text[start : start + step].split(b"\0")[0].decode()
            for start in range(0, len(text), step)
        ]
        if size and not fields:
            raise ValueError(f"'{self.name}' has no fields")
        values = self._nested(data, size * len(fields)).reshape(size, len(fields))
        made = np.empty(size, object)
        for place, row in enumerate(values):
            made[place] = SimpleNamespace(**dict(zip(fields, row, strict=True)))
        return made
