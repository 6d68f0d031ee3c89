"""Images as they are sent to a service."""

import base64
import os
from collections.abc import Sequence

import cv2

from facever.data.arrays import split_address
from facever.data.decode import read_bytes
from facever.data.given import Given, listed, pixels_of
from facever.data.headers import read_header
from facever.errors import DataError

_SENT = ("JPEG", "PNG", "WEBP", "AVIF")


def coded(images: Given | Sequence[Given]) -> list[str]:
    """Return image files in base64; other images and formats as PNG.

    Raises:
        ImageError: A file cannot be read, or is no image of a known format.
        DataError: Something is not an image.
    """
    return [base64.b64encode(_file_of(one)).decode() for one in listed(images)]


def _file_of(image: Given) -> bytes:
    data: bytes | None = None
    if isinstance(image, str | os.PathLike):
        if split_address(os.fspath(image)) is None:
            data = read_bytes(os.fspath(image))
    elif isinstance(image, bytes | bytearray | memoryview):
        data = bytes(image)
    if data is not None and _is_sent(data):
        return data
    done, coded = cv2.imencode(".png", pixels_of(image)[:, :, ::-1])
    if not done:
        raise DataError("an image cannot be written as PNG")
    return coded.tobytes()


def _is_sent(data: bytes) -> bool:
    try:
        return read_header(data).format in _SENT
    except ValueError:
        return True  # the service says what is wrong with it
