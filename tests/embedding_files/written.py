"""Files of embeddings, written byte by byte from the descriptions of their formats."""

import io
import struct
import zipfile
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
