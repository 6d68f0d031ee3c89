"""The arrays of MATLAB 5 files (`save -v6`, `-v7`), read when asked for; the file is mapped.

Every size is checked before use. SciPy's reader is not used: it crashes the process on damaged
files (SciPy 1.17.1: 5 of 576 single inverted bytes of a small file ended in a segmentation fault).

Reference:
    The MathWorks: MAT-File Format, "Level 5 MAT-File Format": a header of 128 bytes, then elements
    of a tag (type and size, 32 bits each) and their data, filled up to 8 bytes.
"""

import math
import mmap
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.core.files import open_regular

MOST_ARRAYS = 10_000_000
"""Largest number of arrays in the cell arrays and structures of a file."""

_MOST_DEPTH = 32  # of arrays in each other
_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"} | {
    12: "i8",
    13: "u8",
}
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"} | {
    14: "i8",
    15: "u8",
}
_OTHERS = {1: "cell", 2: "struct", 4: "char", 3: "object", 5: "sparse", 16: "function"} | {
    17: "opaque",
}
_OPAQUE = 17  # an object, which has no dimensions
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_COMPLEX = 0x08


class UnreadArrayError(ValueError):
    """An array of a kind that is not read, in a file that may be good."""


class _Limits:
    """What may still be allocated for a file."""

    def __init__(self, most: int) -> None:
        self.most, self.room, self.arrays = most, most, MOST_ARRAYS

    def take(self, arrays: int) -> None:
        self.arrays -= arrays
        if self.arrays < 0:
            raise ValueError(f"it holds more than {MOST_ARRAYS:,} arrays in each other")


class _Element(NamedTuple):
    kind: int
    data: memoryview
    after: memoryview


def mat_arrays(path: Path, most: int) -> "Iterator[MatArray]":
    """Yield the arrays of a file.

    Args:
        path: The file; it is mapped, not loaded.
        most: Largest number of bytes of what is compressed in it, of one array that MATLAB stored
            in a smaller type, and of the file itself if any of these is needed.

    Raises:
        ValueError: It is another kind of file, or it is damaged.
        OSError: It cannot be opened.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    if content[:10] == b"MATLAB 7.3" or content[512:516] == b"\x89HDF":
        raise ValueError("it is of MATLAB 7.3 (HDF5): save it in MATLAB with -v7")
    order = _ORDERS.get(content[126:_HEADER])
    if order is None:
        raise ValueError("it is not a MATLAB 5 file")
    rest, limits = memoryview(content)[_HEADER:], _Limits(most)
    while rest:
        element = _element(rest, order)
        rest = element.after
        if element.kind == _COMPRESSED:
            element = _element(_unpacked(element.data, limits), order)
        if element.kind != _MATRIX:
            raise ValueError(
                f"it is damaged: element of type {element.kind} in the place of an array"
            )
        yield MatArray(element.data, order, limits)


def _element(data: memoryview, order: str) -> _Element:
    """Return the first element, and what is after it."""
    if len(data) < 8:
        raise ValueError("it is truncated")
    kind, size = (int(word) for word in np.frombuffer(data[:8], f"{order}u4"))
    if kind >> 16:  # a small element: 4 bytes of tag, up to 4 of data
        size, kind, start, after = kind >> 16, kind & 0xFFFF, 4, 8
        if size > 4:
            raise ValueError(f"it is damaged: small element of {size:,} bytes")
    else:
        start, after = 8, 8 + size + (0 if kind == _COMPRESSED else -size % 8)
    if start + size > len(data):
        raise ValueError(f"it is truncated: {size:,} bytes are announced, {len(data) - 8:,} left")
    return _Element(kind, data[start : start + size], data[after:])


def _unpacked(data: memoryview, limits: _Limits) -> memoryview:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limits.room + 1)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
    limits.room -= len(content)
    if limits.room < 0:
        raise ValueError(f"it unpacks to more than {limits.most:,} bytes")
    if not stream.eof:
        raise ValueError("it is truncated: compressed data without an end")
    return memoryview(content)


class MatArray:
    """An array whose flags, dimensions and name are read.

    Args:
        data: The content of its element.
        order: "<" or ">".
        limits: What may still be allocated.
        depth: The number of arrays that it is in.

    Attributes:
        name: Its name; empty within another array, and for MATLAB's own data.
        kind: "numbers", "char", "cell", "struct"; or one that is not read: "complex", "sparse",
            "object", "function", "opaque", "class N".
        shape: Its dimensions, at least two.

    Raises:
        ValueError: It is damaged.
    """

    def __init__(self, data: memoryview, order: str, limits: _Limits, depth: int = 0) -> None:
        self._order, self._limits, self._depth = order, limits, depth
        self.name, self.kind, self._class, self._data = "", "numbers", 6, data
        self.shape: tuple[int, ...] = (0, 0)
        if depth > _MOST_DEPTH:
            raise ValueError(f"it has arrays in each other, more than {_MOST_DEPTH} deep")
        if not data:  # an empty array is an element without data
            return
        flags, data = self._integers(data, _UINT32)
        if len(flags) != 2:
            raise ValueError("it is damaged: flags of an array")
        self._class = int(flags[0]) & 0xFF
        if self._class != _OPAQUE:
            shape, data = self._integers(data, _INT32)
            self.shape = tuple(shape.tolist())
            if len(shape) < 2 or (shape < 0).any():
                raise ValueError("it is damaged: dimensions of an array")
        name, self._data = self._integers(data, _INT8)
        self.name = name.tobytes().decode("utf-8", "replace")
        self.kind = _OTHERS.get(self._class, f"class {self._class}")
        if self._class in _NUMBERS:
            self.kind = "complex" if int(flags[0]) >> 8 & _COMPLEX else "numbers"

    @property
    def size(self) -> int:
        """The number of its values."""
        return math.prod(self.shape)

    def numbers(self) -> NDArray[np.generic]:
        """Return the numbers, of `shape`; they are mapped if stored in their own type."""
        self._require("numbers")
        own = np.dtype(_NUMBERS[self._class])
        if not self.size:
            return np.empty(self.shape, own)
        kind, held, _ = _element(self._data, self._order)
        stored = np.dtype(f"{self._order}{_STORED[kind]}") if kind in _STORED else None
        if stored is None or len(held) != self.size * stored.itemsize:
            raise ValueError(
                f"'{self.name}' is damaged: {len(held):,} bytes of type {kind} cannot hold an "
                f"array of shape {self.shape}"
            )
        values = np.frombuffer(held, stored)
        if stored.newbyteorder("=") != own:
            if self.size * own.itemsize > self._limits.most:
                raise ValueError(f"'{self.name}' is too large: shape {self.shape}")
            values = values.astype(own)
        return values.reshape(self.shape, order="F")

    def texts(self) -> list[str]:
        """Return the rows of a matrix of characters, with the spaces that fill it."""
        self._require("char")
        if not self.size:
            return []
        kind, held, _ = _element(self._data, self._order)
        if kind not in _TEXTS:
            raise ValueError(f"'{self.name}' is damaged: text of type {kind}")
        encoding = _TEXTS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        text = held.tobytes().decode(encoding)
        if len(text) != self.size or len(self.shape) != 2:
            raise UnreadArrayError(
                f"'{self.name}' is not a matrix of characters: {len(text):,} characters for shape "
                f"{self.shape}"
            )
        rows = self.shape[0]
        return [text] if rows == 1 else [text[row::rows] for row in range(rows)]

    def cells(self) -> "Iterator[MatArray]":
        """Yield the arrays of a cell array, by columns."""
        self._require("cell")
        yield from self._nested(self._data, self.size)

    def structures(self) -> "list[dict[str, MatArray]]":
        """Return the structures, by columns: their fields by name."""
        self._require("struct")
        length, data = self._integers(self._data, _INT32)
        names, data = self._integers(data, _INT8)
        if len(length) != 1 or length[0] < 1 or len(names) % length[0]:
            raise ValueError(f"'{self.name}' is damaged: names of fields")
        text, step = names.tobytes(), int(length[0])
        fields = [
            text[start : start + step].split(b"\0")[0].decode("utf-8", "replace")
            for start in range(0, len(text), step)
        ]
        if self.size and not fields:
            raise ValueError(f"'{self.name}' has no fields")
        values = self._nested(data, self.size * len(fields))
        return [{field: next(values) for field in fields} for _ in range(self.size)]

    def _require(self, kind: str) -> None:
        if self.kind != kind:
            raise UnreadArrayError(f"'{self.name}' is of MATLAB's type {self.kind}")

    def _nested(self, data: memoryview, size: int) -> "Iterator[MatArray]":
        """Yield arrays that follow each other."""
        if size * 8 > len(data):  # each has a tag
            raise ValueError(f"'{self.name}' is truncated: {size:,} arrays are announced")
        self._limits.take(size)
        for _ in range(size):
            kind, held, data = _element(data, self._order)
            if kind != _MATRIX:
                raise ValueError(
                    f"'{self.name}' is damaged: element of type {kind} in the place of an array"
                )
            yield MatArray(held, self._order, self._limits, self._depth + 1)

    def _integers(self, data: memoryview, kind: int) -> tuple[NDArray[np.integer], memoryview]:
        """Return the integers of an element of a given type, and what is after it."""
        found, held, after = _element(data, self._order)
        if found != kind:
            raise ValueError(f"it is damaged: element of type {found}, {kind} is expected")
        dtype = np.dtype(f"{self._order}{_STORED[kind]}")
        if len(held) % dtype.itemsize:
            raise ValueError(f"it is damaged: {len(held):,} bytes of type {kind}")
        return np.frombuffer(held, dtype), after
