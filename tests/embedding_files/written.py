"""Files of embeddings, written byte by byte from the descriptions of their formats."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

N, D = 12, 5
VECTORS = np.random.default_rng(3).normal(size=(N, D)).astype("<f4")
PEOPLE = np.repeat([3, 5, 8, 9], 3)
CAMERAS = np.arange(N) % 3
PATHS = [f"a/{row:02d}.jpg" for row in range(N)]


def npy(values: np.ndarray, version: int = 1) -> bytes:
    """NEP 1: magic, version, length of the header, header, values."""
    order = values.flags.f_contiguous and not values.flags.c_contiguous
    header = (
        f"{{'descr': '{values.dtype.str}', 'fortran_order': {order}, 'shape': {values.shape}, }}"
    )
    size = 2 if version == 1 else 4
    header += " " * (63 - (8 + size + len(header)) % 64) + "\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    body = values.tobytes("F" if order else "C")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + body


def archive(path: Path, members: Mapping[str, bytes], packed: bool = False) -> Path:
    """A ZIP archive, as .npz and the files of torch.save are."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def npz(path: Path, packed: bool = False, **arrays: Any) -> Path:
    members = {f"{name}.npy": npy(np.asarray(values)) for name, values in arrays.items()}
    return archive(path, members, packed)


# MAT-File Level 5: a header of 128 bytes, then data elements: type, number of bytes, data to 8.
_TYPES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12}
_CLASSES = {"f8": 6, "f4": 7, "i1": 8, "u1": 9, "i2": 10, "u2": 11, "i4": 12, "u4": 13, "i8": 14}
_MATRIX, _COMPRESSED, _CELL, _STRUCT, _CHAR = 14, 15, 1, 2, 4


def _element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _small(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")


def mat_matrix(
    name: str, shape: tuple[int, ...], number: int, data: bytes, order: str = "<"
) -> bytes:
    flags = _element(6, struct.pack(f"{order}II", number, 0), order)
    dimensions = _element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    named = _element(1, name.encode(), order)
    return _element(_MATRIX, flags + dimensions + named + data, order)


def mat_array(name: str, values: np.ndarray, shown: str | None = None) -> bytes:
    """A matrix of numbers, column by column; `shown` is its class, if stored smaller."""
    order, kind = values.dtype.str[0].replace("|", "<"), values.dtype.str[1:]
    data = _element(_TYPES[kind], values.tobytes("F"), order)
    return mat_matrix(name, values.shape, _CLASSES[shown or kind], data, order)


def mat_text(name: str, rows: list[str]) -> bytes:
    """A matrix of characters, its rows filled with spaces."""
    width = max(len(row) for row in rows)
    codes = np.array([[ord(c) for c in row.ljust(width)] for row in rows], "<u2")
    return mat_matrix(name, codes.shape, _CHAR, _element(4, codes.tobytes("F")))


def mat_cells(name: str, cells: list[bytes]) -> bytes:
    """A cell array, [N, 1]."""
    return mat_matrix(name, (len(cells), 1), _CELL, b"".join(cells))


def mat_struct(name: str, fields: Mapping[str, bytes]) -> bytes:
    names = b"".join(key.encode().ljust(16, b"\0") for key in fields)
    data = _small(5, struct.pack("<i", 16)) + _element(1, names) + b"".join(fields.values())
    return mat_matrix(name, (1, 1), _STRUCT, data)


def mat_packed(matrix: bytes) -> bytes:
    """As version 7 writes a matrix: compressed, and not filled to 8 bytes."""
    data = zlib.compress(matrix)
    return struct.pack("<II", _COMPRESSED, len(data)) + data


def mat(*matrices: bytes, order: str = "<") -> bytes:
    text = b"MATLAB 5.0 MAT-file, written by hand".ljust(116) + b"\0" * 8
    end = b"IM" if order == "<" else b"MI"
    return text + struct.pack(f"{order}H", 0x0100) + end + b"".join(matrices)


def pickled_array(values: np.ndarray) -> bytes:
    """Opcodes of protocol 2 for an array, as Python 2 writes them."""
    kind = values.dtype.str[1:].encode()
    shape = b"(" + b"".join(_integer(size) for size in values.shape) + b"t"
    body = values.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nU"
        + bytes([len(kind)])
        + kind
        + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(body))
        + body
        + b"tb"
    )


def pickled_text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def pickled_list(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def pickled_dict(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(pickled_text(key) + value for key, value in items.items()) + b"u"


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def torch_tensor(key: str, values: np.ndarray) -> bytes:
    """Opcodes for a tensor: its storage is the member `data/KEY` of the archive."""
    storage = {"f4": b"FloatStorage", "i8": b"LongStorage"}[values.dtype.str[1:]]
    sizes = b"(" + b"".join(_integer(size) for size in values.shape) + b"t"
    strides = b"(" + b"".join(_integer(one // values.itemsize) for one in values.strides) + b"t"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((" + _unicode("storage") + b"ctorch\n" + storage
        + b"\n" + _unicode(key) + _unicode("cpu") + _integer(values.size) + b"tQK\x00"
        + sizes + strides + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _unicode(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def torch_dict(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(_unicode(key) + value for key, value in items.items()) + b"u"


def torch_file(path: Path, value: bytes, **storages: np.ndarray) -> Path:
    members = {"archive/data.pkl": b"\x80\x02" + value + b".", "archive/byteorder": b"little"}
    members |= {f"archive/data/{key}": one.tobytes() for key, one in storages.items()}
    return archive(path, members | {"archive/version": b"3\n"})


def zipped(members: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()
