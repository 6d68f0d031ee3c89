"""HDF5 files byte by byte, from The HDF Group's "HDF5 File Format Specification Version 3.0".

Superblock version 0, object headers version 1, one group with a symbol table, contiguous layout.
"""

import struct
from collections.abc import Mapping

import numpy as np

_NONE = 2**64 - 1  # undefined address
_LEAF, _INTERNAL = 4, 16  # half of the entries of a symbol table node, and of a B-tree node
_FLOAT32 = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127)
_INT64 = struct.pack("<BBBBIHH", 0x10, 0x08, 0, 0, 8, 0, 64)
_DATASPACE, _DATATYPE, _FILL, _LAYOUT, _ATTRIBUTE, _SYMBOLS = 1, 3, 5, 8, 12, 17


def _message(kind: int, data: bytes) -> bytes:
    data += bytes(-len(data) % 8)
    return struct.pack("<HHB3x", kind, len(data), 0) + data


def _object(*messages: bytes) -> bytes:
    body = b"".join(messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def _matlab_class(name: str) -> bytes:
    """An attribute with a text, as MATLAB 7.3 writes it."""
    text = struct.pack("<4BI", 0x13, 0, 0, 0, len(name))
    head = struct.pack("<BxHHH", 1, len("MATLAB_class") + 1, len(text), 8)
    data = head + b"MATLAB_class".ljust(16, b"\0") + text + struct.pack("<BB6x", 1, 0)
    return _message(_ATTRIBUTE, data + name.encode())


def _dataset(values: np.ndarray, address: int, matlab: bool) -> bytes:
    shape = struct.pack(f"<BBB5x{values.ndim}Q", 1, values.ndim, 0, *values.shape)
    kind = {"<f4": _FLOAT32, "<i8": _INT64}[values.dtype.str]
    return _object(
        _message(_DATASPACE, shape),
        _message(_DATATYPE, kind),
        _message(_FILL, bytes([2, 2, 2, 0])),
        _message(_LAYOUT, struct.pack("<BBQQ", 3, 1, address, values.nbytes)),
        *([_matlab_class({"f": "single", "i": "int64"}[values.dtype.kind])] if matlab else []),
    )


def hdf5_file(arrays: Mapping[str, np.ndarray], before: bytes = b"") -> bytes:
    """A file with one group of up to eight data sets, float32 or int64.

    `before` is a block of the user's, such as MATLAB's of 512 bytes; addresses count from its end,
    and data sets then have MATLAB's attribute.
    """
    names = sorted(arrays)
    heap, places = bytes(8), []
    for name in names:
        places.append(len(heap))
        heap += name.encode() + bytes(8 - len(name) % 8)
    root = 96
    tree = root + len(_object(_message(_SYMBOLS, bytes(16))))
    node = tree + 24 + 8 * (4 * _INTERNAL + 1)
    head = node + 8 + 40 * 2 * _LEAF
    at = head + 32 + len(heap)
    body, entries = b"", b""
    for name, place in zip(names, places, strict=True):
        values = arrays[name]
        header = _dataset(values, 0, bool(before))
        address = at + len(body)
        body += _dataset(values, address + len(header), bool(before)) + values.tobytes()
        body += bytes(-len(body) % 8)
        entries += struct.pack("<QQII16x", place, address, 0, 0)
    end = len(before) + at + len(body)
    made = b"\x89HDF\r\n\x1a\n" + struct.pack("<8B", 0, 0, 0, 0, 0, 8, 8, 0)
    made += struct.pack("<HHI4Q", _LEAF, _INTERNAL, 0, len(before), _NONE, end, _NONE)
    made += struct.pack("<QQIIQQ", 0, root, 1, 0, tree, head)
    made += _object(_message(_SYMBOLS, struct.pack("<QQ", tree, head)))
    keys = struct.pack("<4sBBHQQQQQ", b"TREE", 0, 0, 1, _NONE, _NONE, 0, node, places[-1])
    made += keys.ljust(node - tree, b"\0")
    made += (struct.pack("<4sBxH", b"SNOD", 1, len(names)) + entries).ljust(head - node, b"\0")
    made += struct.pack("<4sB3xQQQ", b"HEAP", 0, len(heap), 1, head + 32) + heap
    return before + made + body
