"""Parquet files byte by byte, from Apache Parquet's format (parquet.thrift, compact protocol)."""

import struct
from collections.abc import Sequence

import numpy as np

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_INT64, _FLOAT = 2, 4
_REQUIRED, _REPEATED, _CONVERTED_LIST, _RLE = 0, 2, 3, 3
_MAGIC = b"PAR1"


def _varint(value: int) -> bytes:
    made = b""
    while value > 0x7F:
        made, value = made + bytes([value & 0x7F | 0x80]), value >> 7
    return made + bytes([value])


def _value(kind: int, value: object) -> bytes:
    if isinstance(value, int):
        return _varint(value << 1)  # zigzag of a number from 0
    if isinstance(value, str):
        return _varint(len(value)) + value.encode()
    if kind == _LIST:
        inside, items = value  # type: ignore[misc]
        return bytes([len(items) << 4 | inside]) + b"".join(_value(inside, one) for one in items)
    assert isinstance(value, bytes)
    return value


def _record(**fields: tuple[int, object]) -> bytes:
    """A structure of fields named f1, f2 and so on by their ids."""
    made, last = b"", 0
    for name, (kind, value) in fields.items():
        number = int(name[1:])
        made, last = made + bytes([number - last << 4 | kind]) + _value(kind, value), number
    return made + b"\0"


def _levels(values: Sequence[int]) -> bytes:
    """Levels of 0 and 1 as runs: length, then for each run its count and value."""
    runs, first = b"", 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[first]:
            runs, first = runs + _varint(place - first << 1) + bytes([values[first]]), place
    return struct.pack("<I", len(runs)) + runs


def parquet_file(vectors: np.ndarray, identities: np.ndarray) -> bytes:
    """A file with a column `embedding` of lists (float32 [N, D]) and `identity` (int64 [N])."""
    rows, size = vectors.shape
    repeated = [int(place % size > 0) for place in range(vectors.size)]
    lists = _levels(repeated) + _levels([1] * vectors.size) + vectors.astype("<f4").tobytes()
    numbers = identities.astype("<i8").tobytes()
    content, chunks = _MAGIC, []
    for kind, path, count, data in (
        (_FLOAT, ["embedding", "list", "element"], vectors.size, lists),
        (_INT64, ["identity"], rows, numbers),
    ):
        head = _record(
            f1=(_I32, count), f2=(_I32, 0), f3=(_I32, _RLE), f4=(_I32, _RLE)
        )  # PLAIN values
        page = _record(f1=(_I32, 0), f2=(_I32, len(data)), f3=(_I32, len(data)), f5=(_STRUCT, head))
        place, length = len(content), len(page) + len(data)
        content += page + data
        meta = _record(
            f1=(_I32, kind),
            f2=(_LIST, (_I32, [0, _RLE])),
            f3=(_LIST, (_BINARY, path)),
            f4=(_I32, 0),
            f5=(_I64, count),
            f6=(_I64, length),
            f7=(_I64, length),
            f9=(_I64, place),
        )
        chunks.append(_record(f2=(_I64, place), f3=(_STRUCT, meta)))
    group = _record(f1=(_LIST, (_STRUCT, chunks)), f2=(_I64, len(content) - 4), f3=(_I64, rows))
    required = {"f3": (_I32, _REQUIRED)}
    schema = [
        _record(f4=(_BINARY, "schema"), f5=(_I32, 2)),
        _record(**required, f4=(_BINARY, "embedding"), f5=(_I32, 1), f6=(_I32, _CONVERTED_LIST)),
        _record(f3=(_I32, _REPEATED), f4=(_BINARY, "list"), f5=(_I32, 1)),
        _record(f1=(_I32, _FLOAT), **required, f4=(_BINARY, "element")),
        _record(f1=(_I32, _INT64), **required, f4=(_BINARY, "identity")),
    ]
    footer = _record(
        f1=(_I32, 1),
        f2=(_LIST, (_STRUCT, schema)),
        f3=(_I64, rows),
        f4=(_LIST, (_STRUCT, [group])),
    )
    return content + footer + struct.pack("<I", len(footer)) + _MAGIC
