"""Headers of images, read before decoding: format, size, transparency, completeness.

JPEG and PNG are read here: the segments of a JPEG up to its first scan, in 3 us (Pillow takes 22,
and the whole decoding of a crop of 112 x 112 takes 73), and every chunk of a PNG with its checksum,
in 13 us (27 and 258). Pillow reads the header of the other formats; HEIC is one of them if the
extra `heif` is installed.
"""

import io
import re
import warnings
import zlib
from functools import cache
from importlib import import_module
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError, features

from facever.data.jpeg import Frame, read_frame

warnings.filterwarnings(
    "ignore", category=Image.DecompressionBombWarning
)  # decode has its own limit
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # ImageError reports it

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_BY_PILLOW = ("BMP", "GIF", "JPEG2000", "PPM", "TIFF", "WEBP")
_BEGINS = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"RIFF": "WEBP", b"GIF8": "GIF", b"BM": "BMP"}
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_ZEROS_AT_END = {"AVIF": 0.0, "HEIF": 0.0, "JPEG2000": 0.0, "WEBP": 1 / 8}
"""Largest share of zeros at the end of a compressed file, beyond 64 bytes: an image of one colour
has 5 % in WebP; if there are more, a part was never written.
"""
_PNM_GAP = rb"(?:\s|#[^\n]*\n)+"
_PNM = re.compile(rb"P([2356])" + (_PNM_GAP + rb"\d+") * 2 + _PNM_GAP + rb"(\d+)")


class Header(NamedTuple):
    """The header of an image; the size is the stored one, before EXIF rotation.

    `maximum` is the value of white if it is neither 255 nor 65535 and OpenCV ignores it; `frame`
    contains further fields of a JPEG header.
    """

    format: str
    width: int
    height: int
    transparent: bool = False
    maximum: int | None = None
    frame: Frame | None = None


def read_header(data: bytes) -> Header:
    """Read the header of an image file's bytes.

    Raises:
        ValueError: The bytes are not a complete image of a supported format; the message is the
            reason.
    """
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    return _other(data)


def _jpeg(data: bytes) -> Header:
    frame = read_frame(data)
    return Header("JPEG", frame.width, frame.height, False, None, frame)


def _png(data: bytes) -> Header:
    """Walk the chunks, checking their checksums."""
    at, transparent, end = 8, len(data) > 25 and data[25] in (4, 6), len(data)
    while at + 12 <= end:
        length = int.from_bytes(data[at : at + 4])
        after = at + 12 + length
        if after > end:
            break
        if zlib.crc32(data[at + 4 : after - 4]) != int.from_bytes(data[after - 4 : after]):
            raise ValueError("damaged PNG: the checksum of a chunk is wrong")
        kind = data[at + 4 : at + 8]
        if kind == b"tRNS":
            transparent = True
        elif kind == b"IEND":
            width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
            return Header("PNG", width, height, transparent)
        at = after
    raise ValueError("truncated PNG: it ends before its end chunk")


def _other(data: bytes) -> Header:
    formats, name = _candidates(data)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.mode == "F":
                raise ValueError("pixels are floating-point numbers; 8 or 16 bits are supported")
            if image.mode == "I" and image.format == "TIFF":  # 32 bits, or 16 signed bits
                raise ValueError(
                    "pixels are 32-bit or signed integers; 8 or 16 unsigned bits are supported"
                )
            if image.format == "PPM":  # Pillow's name for all of PNM
                return Header("PNM", *image.size, maximum=_unscaled_maximum(data))
            header = Header(str(image.format), *image.size, image.has_transparency_data)
    except UnidentifiedImageError:
        reason = "not an image of a known format"
        if name:
            reason = f"truncated or damaged {name}, or of a kind that is not supported"
        raise ValueError(reason) from None
    except (OSError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"truncated or damaged {name}: {reason}" if name else reason) from error
    share = _ZEROS_AT_END.get(header.format)
    if share is not None and data.endswith(bytes(64 + int(share * len(data)))):
        raise ValueError(f"truncated or damaged {header.format}: its last bytes were never written")
    return header


def _candidates(data: bytes) -> tuple[tuple[str, ...], str | None]:
    """Return Pillow's names of the possible formats of these bytes, and the name of their
    signature.

    Raises:
        ValueError: The format is AVIF or HEIC, and its reader is not installed.
    """
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4]), 256), 4)}
        if brands & {b"avif", b"avis"}:
            if not features.check("avif"):
                raise ValueError(
                    "this version of Pillow cannot read AVIF: install Pillow 11.3 or newer"
                )
            return ("AVIF",), "AVIF"
        if brands & _HEIF_BRANDS:
            if not _reads_heif():
                raise ValueError("HEIC needs an extra: pip install 'facever[heif]'")
            return ("HEIF",), "HEIF"
    return _BY_PILLOW, next(
        (name for start, name in _BEGINS.items() if data.startswith(start)), None
    )


@cache
def _reads_heif() -> bool:
    try:
        import_module("pillow_heif").register_heif_opener(thumbnails=False)
    except ImportError:
        return False
    return True


def _unscaled_maximum(data: bytes) -> int | None:
    """Return a PNM file's unusual maximum; OpenCV itself scales eight-bit text values."""
    found = _PNM.match(data)
    if found is None:
        return None
    maximum = int(found[2])
    scaled = maximum in (255, 65535) or (maximum < 256 and found[1] in b"23")
    return None if scaled else maximum
