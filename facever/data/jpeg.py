"""JPEG decoding that refuses damaged files.

libjpeg fills missing parts with grey and only warns. Here its first warning is an error, unless a
second check shows that the image is complete: cameras write bytes between segments and before
markers, and some files lack only their end marker. The pixels are those of OpenCV, bit for bit
(both use libjpeg-turbo's accurate transform and smooth upsampling).
"""

import re
from typing import Literal, NamedTuple

import cv2
import numpy as np
import simplejpeg

_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_HARMLESS = ("unknown JFIF revision", "Unknown Adobe color transform")
_NOT_READ = (
    "data precision",
    "color conversion",
    "subsampling level",
)  # not supported by simplejpeg
_MOST_EXTRA = 64  # bytes that a camera may write before a marker; more mean damage
_MOST_ZEROS = 8  # zeros before such bytes; more mean that a part was never written
_ALL = 64  # coefficients of a block
_REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_ORIENTATION = 0x0112  # the EXIF tag


class Frame(NamedTuple):
    """Contents of the segments before the first scan.

    `start` and `scan` are the positions of the frame's and of the first scan's segment; `restarts`
    is the number of blocks (MCUs) between restart markers, 0 without them; `several` is whether
    more than one scan is needed.
    """

    width: int
    height: int
    orientation: int
    start: int
    restarts: int
    scan: int
    several: bool


def read_frame(data: bytes) -> Frame:
    """Walk the segments of a JPEG file's bytes to its first scan.

    Raises:
        ValueError: There is no scan, or no frame before it.
    """
    at, last = 2, len(data) - 4
    frame = exif = restarts = 0  # positions of these segments
    while at <= last:
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF or not marker:
            at += 1  # bytes between segments, which libjpeg also skips
            continue
        if marker in _FRAMES:
            frame = at
        elif marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            exif = at
        elif marker == 0xDD:
            restarts = at
        elif marker == 0xDA:
            if not frame:
                raise ValueError("damaged JPEG: no frame before the first scan")
            return Frame(
                width=data[frame + 7] << 8 | data[frame + 8],
                height=data[frame + 5] << 8 | data[frame + 6],
                orientation=_orientation(data[exif + 10 : exif + 65537]) if exif else 1,
                start=frame,
                restarts=_sixteen(data, restarts + 4) if restarts else 0,
                scan=at,
                several=data[frame + 1] in _PROGRESSIVE or data[at + 4] < data[frame + 9],
            )
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    raise ValueError("truncated JPEG: it ends before its first scan")


def decode_jpeg(data: bytes, frame: Frame, factor: int = 1) -> tuple[np.ndarray, bool]:
    """Decode a JPEG file's bytes at 1 / `factor` of its size (1, 2, 4 or 8).

    Files that simplejpeg does not support, such as rare subsamplings, are decoded by OpenCV; for
    these only the end marker is checked.

    Returns:
        Pixels as stored, before EXIF rotation, uint8 [H, W, 3] RGB; and whether the end marker
        exists.

    Raises:
        ValueError: The file is truncated, damaged, or of an unsupported kind.
    """
    try:
        pixels, ended = _whole(data, factor), True
    except ValueError as error:
        if any(part in str(error) for part in _NOT_READ):
            return _by_opencv(data, factor), True
        pixels, ended = _second_look(data, str(error), factor)
    if frame.several:
        _check_scans(data, frame, ended)
    return pixels, ended


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror pixels for an EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    if orientation in (2, 3, 6, 7):
        pixels = cv2.flip(pixels, 1)
    if orientation in (3, 4, 7, 8):
        pixels = cv2.flip(pixels, 0)
    return pixels


def _whole(data: bytes, factor: int, strict: bool = True) -> np.ndarray:
    """Decode with simplejpeg; if `strict`, it raises ValueError at libjpeg's first warning."""
    if factor == 1:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, strict=strict)
        return pixels
    frame = read_frame(data)
    height, width = -(-frame.height // factor), -(-frame.width // factor)
    pixels = simplejpeg.decode_jpeg(data, min_height=height, min_width=width, strict=strict)
    return pixels


def _second_look(data: bytes, said: str, factor: int) -> tuple[np.ndarray, bool]:
    """Decode without the bytes that libjpeg warned of; any other defect is an error."""
    ended = True
    for _ in range(4):
        extra = _EXTRA.search(said)
        if said.startswith("Premature end of JPEG file") and ended:
            data, ended = data + _END, False
        elif (extra or any(part in said for part in _HARMLESS)) and _plain_header(data) != data:
            data = _plain_header(data)
        elif extra and 0xD0 <= int(extra[2], 16) <= 0xD7:
            _check_restarts(data, int(extra[1]))
            return _whole(data, factor, strict=False), ended
        elif extra and extra[2] == "d9":
            data = _without(data, int(extra[1]))
        else:
            break
        try:
            return _whole(data, factor), ended
        except ValueError as error:
            said = str(error)
    if not ended:
        raise ValueError("truncated JPEG: it ends before its last pixels")
    raise ValueError(_damaged(said))


def _damaged(said: str) -> str:
    return f"damaged JPEG: {said.removeprefix('Corrupt JPEG data: ')}"


def _without(data: bytes, extra: int) -> bytes:
    """Remove the bytes before the end marker that no pixel needs."""
    end = data.rfind(_END)
    kept = data[: end - extra]
    _check_extra(kept, extra)
    return kept + data[end:]


def _check_extra(before: bytes, extra: int) -> None:
    """Raise ValueError if the number of bytes, or of zeros before them, means damage."""
    if extra > _MOST_EXTRA or before.endswith(bytes(_MOST_ZEROS + 1)):
        raise ValueError(f"damaged JPEG: {extra:,} bytes follow the last pixels")


def _check_restarts(data: bytes, extra: int) -> None:
    """Raise ValueError unless all restart markers and then the end marker are in place."""
    frame = read_frame(data)
    end = data.rfind(_END)
    _check_extra(data[frame.scan : end], extra)
    factors = list(_components(data, frame).values())
    wide, high = (max(sides) for sides in zip(*factors, strict=True))
    if len(factors) == 1:
        wide = high = 1
    blocks = -(-frame.width // (8 * wide)) * -(-frame.height // (8 * high))
    found = [int(mark[1][0]) - 0xD0 for mark in _RESTART.finditer(data, frame.scan, end)]
    expected = (blocks - 1) // frame.restarts if frame.restarts else 0
    if frame.several or found != [number % 8 for number in range(expected)]:
        raise ValueError("damaged JPEG: restart markers are missing")


def _check_scans(data: bytes, frame: Frame, ended: bool) -> None:
    """Raise ValueError if scans are missing: a file can end between two scans.

    A progressive file with end marker may lack details, but not the averages of a component.
    """
    sent = {number: [_ALL] * _ALL for number in _components(data, frame)}  # the lowest bit so far
    at = data.find(_SCAN, frame.scan)
    while at >= 0:
        end = at + 8 + 2 * data[at + 4] if at + 4 < len(data) else len(data) + 1
        if end <= len(data):
            first, last, bits = data[end - 3 : end]
            for number in data[at + 5 : end - 3 : 2]:
                if number in sent:
                    sent[number][first : last + 1] = [bits & 15] * (last + 1 - first)
        at = data.find(_SCAN, at + 2)
    if ended:
        whole = all(bits[0] < _ALL for bits in sent.values())
    else:
        whole = not any(map(any, sent.values()))
    if not whole:
        raise ValueError("truncated JPEG: it ends before its last scan")


def _components(data: bytes, frame: Frame) -> dict[int, tuple[int, int]]:
    """Return the components' numbers with their sampling factors, horizontal and vertical."""
    count = data[frame.start + 9]
    parts = data[frame.start + 10 : frame.start + 10 + 3 * count]
    return {
        number: (sides >> 4, sides & 15)
        for number, sides in zip(parts[::3], parts[1::3], strict=True)
    }


def _sixteen(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2])


def _orientation(exif: bytes) -> int:
    """Return the orientation in the first EXIF directory; 1 if there is none."""
    order: Literal["little", "big"] = "little" if exif.startswith(b"II") else "big"

    def number(at: int, length: int = 2) -> int:
        return int.from_bytes(exif[at : at + length], order)

    folder = number(4, 4)
    for entry in range(folder + 2, min(folder + 2 + 12 * number(folder), len(exif) - 9), 12):
        if number(entry) == _ORIENTATION:
            value = number(entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def _plain_header(data: bytes) -> bytes:
    """Return the file without bytes between its segments, and with version numbers known to
    libjpeg.
    """
    frame = read_frame(data)
    parts, at = [data[:2]], 2
    while at < frame.scan:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0, 0xFF):
            at += 1
            continue
        end = at + 2 + _sixteen(data, at + 2)
        part = bytearray(data[at:end])
        if marker == 0xE0 and part[4:9] == b"JFIF\0" and len(part) > 9:
            part[9] = 1  # revision 1
        elif marker == 0xEE and part[4:9] == b"Adobe" and len(part) > 15 and part[15] > 2:
            part[15] = 1 if data[frame.start + 9] == 3 else 2  # assumed by libjpeg
        parts.append(bytes(part))
        at = end
    return b"".join(parts) + data[frame.scan :]


def _by_opencv(data: bytes, factor: int) -> np.ndarray:
    if data.rfind(_END) < 0:
        raise ValueError("truncated JPEG: it ends before its end marker")
    flags = _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is not None and factor > 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if pixels is None:
        raise ValueError("truncated or damaged JPEG, or of a kind that is not supported")
    return pixels
