"""Protocol buffers as they lie in a file: fields by number, lengths checked before they are used.

Only what an ONNX file needs: varints and bytes. No library reads the bytes of
a foreign file before these checks.

Reference: Protocol Buffers, Encoding (protobuf.dev/programming-guides/encoding).
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST_VARINT = 10  # bytes of a number


class WireError(ValueError):
    """Invalid protocol buffer."""


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview, int, int]]:
    """Yield the fields of a message.

    Args:
        data: The message's bytes.

    Yields:
        The field's number, its value (a number, or the bytes within), and where the field begins
        and ends in `data`.

    Raises:
        WireError: It is none, or ends early.
    """
    place, end = 0, len(data)
    while place < end:
        begin = place
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        value: int | memoryview
        if kind == VARINT:
            value, place = _varint(data, place)
        elif kind in (BYTES, FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
            if kind == BYTES:
                length, place = _varint(data, place)
            if length > end - place:
                raise WireError("it ends early")
            value, place = data[place : place + length], place + length
        else:
            raise WireError(f"a field of kind {kind}")
        if number == 0:
            raise WireError("a field without a number")
        yield number, value, begin, place


def numbers(value: int | memoryview) -> list[int]:
    """Return the numbers of a repeated field: one of them, or several packed in its bytes."""
    if isinstance(value, int):
        return [signed(value)]
    found, place = [], 0
    while place < len(value):
        one, place = _varint(value, place)
        found.append(signed(one))
    return found


def signed(value: int) -> int:
    """Return the signed number that 64 bits stand for."""
    return value - 2**64 if value >= 2**63 else value


def text(value: int | memoryview) -> str:
    """Return the text that a field holds.

    Raises:
        WireError: It is a number, or not UTF-8.
    """
    return inner(value).tobytes().decode("utf-8", "strict")


def inner(value: int | memoryview) -> memoryview:
    """Return the bytes that a field holds, or raise WireError for a number."""
    if isinstance(value, int):
        raise WireError("a number where bytes must be")
    return value


def entry(number: int, content: bytes) -> bytes:
    """Return a field of bytes as it is written."""
    return _written(number << 3 | BYTES) + _written(len(content)) + content


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MOST_VARINT):
        if place >= len(data):
            raise WireError("it ends early")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    raise WireError("a number of too many bytes")


def _written(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
