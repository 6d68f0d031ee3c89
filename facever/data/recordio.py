"""Records of MXNet's RecordIO files, as insightface packs its training sets.

A record is one part or several. A part is a header of two little-endian uint32, the magic number
and a word whose upper three bits say which part it is (0: whole, 1: first, 2: middle, 3: last) and
whose lower 29 bits are its length, then as many bytes, padded to a multiple of four. Where the
payload itself holds the magic number it was split there, and the number left out: it is put back.

The payload is a header `IfQQ`: a flag, a label, and two numbers of the record; where the flag is
above 0, as many float32 labels follow in place of the one. The encoded image is the rest.

Reference:
    dmlc-core, recordio.h; MXNet, recordio.py (`IRHeader`).
"""

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = 0xCED7230A
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MOST_LABELS = 1024


class Place(NamedTuple):
    """Where a record lies in its file, in bytes, and what its header says."""

    offset: int
    size: int
    labels: tuple[float, ...]
    image_size: int


class ImageRecord(NamedTuple):
    """A record's labels and its encoded image, which header records do not have."""

    labels: tuple[float, ...]
    image: bytes


def parse_record(content: bytes) -> ImageRecord:
    """Return the record that these bytes are, parts and padding included.

    Raises:
        ValueError: They are not one whole record.
    """
    payload, end = b"", 0
    for number, (start, length, kind) in enumerate(_parts(content)):
        payload += (_MAGIC_BYTES if number else b"") + content[start : start + length]
        end = start + _padded(length)
        if kind in (_WHOLE, _LAST):
            break
    else:
        raise ValueError("its last part is missing")
    if end != len(content):
        raise ValueError(f"it ends after {end:,} of {len(content):,} bytes")
    labels, begin = _header(payload, 0, len(payload))
    return ImageRecord(labels, payload[begin:])


def places(content: memoryview) -> Iterator[Place]:
    """Yield where each record of a file lies, in order.

    Args:
        content: The whole file, such as a memory map.

    Raises:
        ValueError: A record is damaged or ends early; names its first byte.
    """
    offset = 0
    while offset < len(content):
        try:
            yield (place := place_of(content, offset))
        except ValueError as error:
            raise ValueError(f"the record from byte {offset:,}: {error}") from error
        offset += place.size


def place_of(content: memoryview, offset: int) -> Place:
    """Return where the record that begins at a byte of a file lies.

    Raises:
        ValueError: There is no whole record.
    """
    size, length = 0, 0
    for start, part, kind in _parts(content, offset):
        length += part + (len(_MAGIC_BYTES) if size else 0)
        size = start + _padded(part) - offset
        if kind in (_WHOLE, _LAST):
            break
    else:
        raise ValueError("its last part is missing")
    if kind == _WHOLE:
        labels, begin = _header(content, offset + _PART.size, length)
    else:
        record = parse_record(bytes(content[offset : offset + size]))
        labels, begin = record.labels, length - len(record.image)
    return Place(offset, size, labels, length - begin)


def _parts(content: bytes | memoryview, offset: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield where each part's bytes begin, how many there are, and which part it is."""
    expected = (_WHOLE, _FIRST)
    while offset < len(content):
        if offset + _PART.size > len(content):
            raise ValueError("it ends early")
        magic, word = _PART.unpack_from(content, offset)
        kind, length = word >> 29, word & 0x1FFFFFFF
        if magic != MAGIC or kind not in expected:
            raise ValueError("there is no record")
        start = offset + _PART.size
        if start + length > len(content):
            raise ValueError("it ends early")
        yield start, length, kind
        if kind in (_WHOLE, _LAST):
            return
        expected = (_MIDDLE, _LAST)
        offset = start + _padded(length)


def _header(content: bytes | memoryview, start: int, length: int) -> tuple[tuple[float, ...], int]:
    """Return the labels of the payload that begins at `start`, and how long its header is."""
    if length < _HEADER.size:
        raise ValueError("its header is missing")
    flag, label, _, _ = _HEADER.unpack_from(content, start)
    if not flag:
        return _finite((label,)), _HEADER.size
    if flag > _MOST_LABELS or _HEADER.size + 4 * flag > length:
        raise ValueError(f"its header announces {flag:,} labels")
    labels = struct.unpack_from(f"<{flag}f", content, start + _HEADER.size)
    return _finite(labels), _HEADER.size + 4 * flag


def _finite(labels: tuple[float, ...]) -> tuple[float, ...]:
    if not all(map(math.isfinite, labels)):
        raise ValueError("a label is NaN or infinite")
    return labels


def _padded(length: int) -> int:
    return -(-length // 4) * 4
