"""Decoding of image files to RGB arrays: upright, eight bits, complete, or an error with the file's
name.
"""

import io
import os
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from facever.core.console import warn
from facever.core.files import open_regular
from facever.data.arrays import read_item, split_address
from facever.data.headers import Header, read_header
from facever.data.jpeg import decode_jpeg, upright
from facever.data.members import read_member, split_member
from facever.errors import ConfigError, DataError

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # ImageError reports it

MAX_PIXELS = 100_000_000
LIMIT = "FACEVER_MAX_PIXELS"
"""Environment variable that replaces the limit `MAX_PIXELS`."""
_BY_PILLOW = frozenset({"AVIF", "HEIF"})
_MOST_BYTES_PER_PIXEL = 8  # 16-bit RGBA, uncompressed
_SLACK_BYTES = 16_000_000  # metadata
_FACTORS = (1, 2, 4, 8)  # factors by which libjpeg can reduce while decoding
_warned: list[str] = []


class ImageError(DataError):
    """An image that cannot be used: its `path` and the `reason`."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return type(self), (self.path, self.reason)  # it travels between processes


def decode(
    path: str | Path,
    max_pixels: int | None = None,
    unended: list[str] | None = None,
    reduce: bool = False,
) -> np.ndarray:
    """Read an image as displayed: RGB, upright, eight bits per channel.

    JPEG, PNG, BMP, PNM (PGM, PPM, PBM), TIFF, WebP, GIF, JPEG 2000 and AVIF (the first frame or
    page); HEIC if the extra `heif` is installed. EXIF orientation is applied; grey is repeated in
    three channels; of 16 bits the upper eight are used; transparent pixels are blended with white,
    so that invisible content is not used. The header is checked before decoding. A truncated or
    damaged file is refused.

    Args:
        path: An image file, or an image of an array file: "images.npy#7" of uint8 [N, H, W] or
            [N, H, W, 3], "t10k-images-idx3-ubyte.gz#7" of an idx file, plain or compressed; or one
            of a tar file: "shard-00001.tar#1536+20480".
        max_pixels: Images with more pixels are refused before decoding (a small file can contain a
            huge image). None: the environment variable FACEVER_MAX_PIXELS, else 100,000,000.
        unended: List to which the path of a JPEG without end marker is added. By default the first
            such file of a process causes a warning.
        reduce: Whether a JPEG with too many pixels is decoded at 1/2, 1/4 or 1/8 of its size (the
            largest that fits) instead of being refused.

    Returns:
        The image, uint8 [H, W, 3], writable and contiguous.

    Raises:
        ImageError: There is no such file or image, or it is empty, not an image, truncated or
            damaged, or has too many pixels.
    """
    name = os.fspath(path)
    try:
        address = split_address(name)
        if address is not None:
            return _as_rgb(read_item(*address))
        most = _most_pixels(max_pixels)
        return _decode(_read(name, most), most, name, unended, reduce)
    except (OSError, ValueError) as error:
        raise ImageError(name, _reason(error)) from error


def read_bytes(path: str | Path, max_pixels: int | None = None) -> bytes:
    """Return the undecoded data: the bytes of a file, or of a tar file's member, or the pixels of
    an array file's image.

    Raises:
        ImageError: There is no such file or image, or it has more bytes than `max_pixels` allows.
    """
    name = os.fspath(path)
    try:
        address = split_address(name)
        return (
            _read(name, _most_pixels(max_pixels))
            if address is None
            else read_item(*address).tobytes()
        )
    except (OSError, ValueError) as error:
        raise ImageError(name, _reason(error)) from error


def decode_bytes(
    data: bytes,
    name: str = "image",
    max_pixels: int | None = None,
    unended: list[str] | None = None,
    reduce: bool = False,
) -> np.ndarray:
    """Decode the bytes of an image file like `decode`; `name` is used in errors."""
    try:
        return _decode(data, _most_pixels(max_pixels), name, unended, reduce)
    except ValueError as error:
        raise ImageError(name, str(error)) from error


def _most_pixels(given: int | None) -> int:
    """Return the given limit, else that of the environment variable, else the default."""
    if given is not None:
        return given
    setting = os.environ.get(LIMIT)
    if not setting:
        return MAX_PIXELS
    try:
        most = int(setting)
    except ValueError:
        most = 0
    if most < 1:
        raise ConfigError(f"{LIMIT} is '{setting}' (allowed: a number of pixels, at least 1)")
    return most


def describe_unended(names: Collection[str]) -> str:
    """Return a message with the number of JPEG files without an end marker."""
    count, first = len(names), min(names)
    return f"JPEG files without end marker, but with complete pixels: {count:,}, first {first}"


def _read(name: str, max_pixels: int) -> bytes:
    member = split_member(name)
    most = _MOST_BYTES_PER_PIXEL * max_pixels + _SLACK_BYTES
    if member:
        _check_size(member[2], most, max_pixels)
        return read_member(*member)
    with open_regular(name) as file:
        _check_size(os.fstat(file.fileno()).st_size, most, max_pixels)
        return file.read()


def _check_size(size: int, most: int, max_pixels: int) -> None:
    if size > most:
        raise ValueError(
            f"{size:,} bytes are too many for an image of {max_pixels:,} pixels: "
            f"set {LIMIT} to allow more"
        )


def _decode(
    data: bytes, max_pixels: int, name: str, unended: list[str] | None, reduce: bool
) -> np.ndarray:
    header = read_header(data)
    count = header.width * header.height
    factors = _FACTORS if reduce and header.frame is not None else _FACTORS[:1]
    factor = next((one for one in factors if count <= max_pixels * one**2), None)
    if factor is None:
        raise ValueError(
            f"{header.width} x {header.height} pixels are more than the {max_pixels:,} allowed: "
            f"set {LIMIT} to allow more"
        )
    if header.frame is not None:
        pixels, ended = decode_jpeg(data, header.frame, factor)
        if not ended:
            (_warn_once if unended is None else unended.append)(name)
        return upright(pixels, header.frame.orientation)
    if header.transparent or header.format in _BY_PILLOW:
        return _by_pillow(data, header)
    return _by_opencv(data, header)


def _by_opencv(data: bytes, header: Header) -> np.ndarray:
    flags = cv2.IMREAD_COLOR_RGB | (cv2.IMREAD_ANYDEPTH if header.maximum else 0)
    try:
        image: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"truncated or damaged {header.format}: it cannot be decoded")
    return cv2.convertScaleAbs(image, alpha=255 / header.maximum) if header.maximum else image


def rgb_of(image: Image.Image) -> np.ndarray:
    """Return a Pillow image as displayed: upright, on white, uint8 [H, W, 3] RGB."""
    upright_image = ImageOps.exif_transpose(image)
    if upright_image.mode.startswith("I;16"):
        grey = (np.asarray(upright_image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if not upright_image.has_transparency_data:
        return np.array(upright_image.convert("RGB"))
    rgba = upright_image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.array(Image.alpha_composite(white, rgba).convert("RGB"))


def _by_pillow(data: bytes, header: Header) -> np.ndarray:
    """Decode with Pillow: images with transparency, and formats that OpenCV may not read."""
    try:
        with Image.open(io.BytesIO(data), formats=[header.format]) as image:
            return rgb_of(image)
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError) as error:
        raise ValueError(f"truncated or damaged {header.format}: {_reason(error)}") from error


def _warn_once(name: str) -> None:
    if not _warned:
        _warned.append(name)
        warn(
            f"{name} has no end marker, but its pixels are complete (further files like it are not "
            "reported)"
        )


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def _reason(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case IsADirectoryError():
            return "is a folder, not an image"
        case OSError() if error.strerror:
            return error.strerror.lower()
    return " ".join(str(error).split())
