"""MATLAB's files of versions 5 to 7. Version 7.3 is HDF5: see `hdf5`.

A reader of its own, with every size checked: damaged bytes end scipy's with a segmentation fault.

Reference:
    MathWorks, "MAT-File Format" (Level 5): data elements, arrays and their subelements.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, StoredArray, check_claim

_HEADER, _TAG = 128, 8  # bytes
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"} | {
    12: "i8",
    13: "u8",
}
_MATRIX, _COMPRESSED = 14, 15
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"} | {
    14: "i8",
    15: "u8",
}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_OTHERS = {3: "object", 5: "sparse", 16: "function", 17: "opaque"}
_OPAQUE = 17  # an object, which has no dimensions
_COMPLEX = 0x0800
_MOST_DEPTH = 4
_MOST_PACKED = 1100  # deflate reaches 1032


class _Element(NamedTuple):
    kind: int
    data: memoryview


def open_matlab(path: Path, held: ExitStack) -> EmbeddingFile:  # noqa: ARG001
    """Open a `.mat` file; it is mapped, and what is compressed in it is loaded."""
    content = memoryview(np.memmap(path, np.uint8, "r"))  # type: ignore[arg-type]
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER]))
    if order is None:
        raise ValueError("not a .mat file of versions 5 to 7.3 (save it with -v7 or -v7.3)")
    arrays: dict[str, StoredArray] = {}
    unread: dict[str, str] = {}
    for element in _elements(content[_HEADER:], order):
        if element.kind == _MATRIX:
            _read(_Reader(path, order, arrays, unread), element.data, "", 0)
    return EmbeddingFile(path, "embeddings-matlab", arrays, unread, either_way=True)


class _Reader(NamedTuple):
    path: Path
    order: str
    arrays: dict[str, StoredArray]
    unread: dict[str, str]


def _elements(view: memoryview, order: str) -> Iterator[_Element]:
    """Yield the data elements of some bytes; compressed ones are decompressed."""
    place = 0
    while place < len(view):
        if place + _TAG > len(view):
            raise ValueError("it is truncated")
        kind, size = struct.unpack_from(f"{order}II", view, place)
        first = place + _TAG
        if kind >> 16:  # a small element: number of bytes, type, and up to four bytes
            kind, size, first = kind & 0xFFFF, kind >> 16, place + 4
            place += _TAG
            if size > 4:
                raise ValueError("a small data element has more than 4 bytes")
        else:
            place = first + size + (0 if kind == _COMPRESSED else -size % 8)
        if first + size > len(view):
            raise ValueError("it is truncated")
        data = view[first : first + size]
        if kind == _COMPRESSED:
            yield from _elements(_decompressed(data), order)
        else:
            yield _Element(kind, data)


def _decompressed(data: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    content = stream.decompress(data, _MOST_PACKED * len(data) + 1)
    if not stream.eof or content[:4] in (b"\x0f\0\0\0", b"\0\0\0\x0f"):
        raise ValueError("a compressed data element is damaged")
    return memoryview(content)


def _read(reader: _Reader, data: memoryview, name: str, depth: int) -> None:
    """Put an array, or the fields of a struct, into the reader's dictionaries."""
    parts = _elements(data, reader.order)
    flags, shape, own = _head(parts, reader.order)
    name, kind = name or own, flags & 0xFF
    if not name:
        return  # MATLAB's own
    try:
        if kind == _STRUCT and math.prod(shape) == 1 and depth < _MOST_DEPTH:
            for field, part in _fields(parts, reader.order):
                _read(reader, part.data, f"{name}/{field}", depth + 1)
        else:
            reader.arrays[name] = SlicedArray(_values(reader, parts, flags, shape, name))
    except NotImplementedError as error:
        reader.unread[name] = str(error)


def _head(parts: Iterator[_Element], order: str) -> tuple[int, tuple[int, ...], str]:
    """Return the flags, shape and name of an array."""
    flags = next(parts, None)
    if flags is None or len(flags.data) < _TAG:
        raise ValueError("an array without flags")
    (said,) = struct.unpack_from(f"{order}I", flags.data)
    dimensions = (
        _Element(5, memoryview(bytes(_TAG))) if said & 0xFF == _OPAQUE else next(parts, None)
    )
    name = next(parts, None)
    if name is None or dimensions is None or len(dimensions.data) not in range(_TAG, 257, 4):
        raise ValueError("an array without dimensions or name")
    shape = struct.unpack(f"{order}{len(dimensions.data) // 4}i", dimensions.data)
    if min(shape) < 0:
        raise ValueError(f"an array of shape {shape}")
    return said, shape, bytes(name.data).decode("utf-8", "replace")


def _values(
    reader: _Reader, parts: Iterator[_Element], flags: int, shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    kind = flags & 0xFF
    if kind == _CELL:
        return np.array([_cell(reader, part.data) for part in parts], dtype=object)
    if kind not in (*_CLASSES, _CHAR) or flags & _COMPLEX:
        what = "complex" if kind in _CLASSES else _OTHERS.get(kind, f"class {kind}")
        raise NotImplementedError(f"of MATLAB's type {'struct' if kind == _STRUCT else what}")
    data = next(parts, None)
    if data is None:
        raise ValueError(f"'{name}' has no values")
    if kind == _CHAR:
        return _rows_of_text(data, shape, reader.order)
    check_claim(name, shape, 1, reader.path)
    stored = _NUMBERS.get(data.kind)
    if stored is None:
        raise ValueError(f"'{name}' has values of type {data.kind}")
    values = np.frombuffer(data.data, reader.order + stored)
    if values.size != math.prod(shape):
        raise ValueError(f"'{name}' of shape {shape} has {values.size:,} values")
    own = np.dtype(_CLASSES[kind])
    same = values.dtype.newbyteorder("=") == own
    return (values if same else values.astype(own)).reshape(shape, order="F")


def _rows_of_text(data: _Element, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """Return the rows of a matrix of characters, without the spaces that fill it."""
    coding = _TEXTS.get(data.kind, "")
    if coding in ("utf-16", "utf-32"):
        coding += "-le" if order == "<" else "-be"
    letters = bytes(data.data).decode(coding) if coding else ""
    if len(letters) != math.prod(shape) or len(shape) != 2:
        raise NotImplementedError("a text of MATLAB that is no matrix of characters")
    return np.array([letters[row :: shape[0]].rstrip() for row in range(shape[0])], dtype=object)


def _cell(reader: _Reader, data: memoryview) -> Any:
    """Return a cell: one text or one number; None if empty."""
    if not len(data):
        return None
    parts = _elements(data, reader.order)
    flags, shape, _ = _head(parts, reader.order)
    if math.prod(shape) == 0:
        return None
    if flags & 0xFF in (_CELL, _STRUCT) or (flags & 0xFF != _CHAR and math.prod(shape) != 1):
        raise NotImplementedError("a cell array must hold one text or one number in each cell")
    values = _values(reader, parts, flags, shape, "a cell")
    if values.size != 1:
        raise NotImplementedError("a cell array must hold one text or one number in each cell")
    return values.item()


def _fields(parts: Iterator[_Element], order: str) -> Iterator[tuple[str, _Element]]:
    """Yield the names and values of a struct."""
    width, names = next(parts, None), next(parts, None)
    if width is None or names is None or len(width.data) != 4:
        raise ValueError("a struct without names of its fields")
    (size,) = struct.unpack(f"{order}i", width.data)
    for first in range(0, len(names.data), max(1, size)):
        part = next(parts, None)
        if part is None:
            raise ValueError("a struct with fewer values than fields")
        raw = bytes(names.data[first : first + size]).partition(b"\0")[0]
        yield raw.decode("utf-8", "replace"), part
