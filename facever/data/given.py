"""Images as Python code gives them: paths, bytes, Pillow images, arrays."""

import os
from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facever.data.decode import decode, decode_bytes, rgb_of
from facever.errors import DataError

Given: TypeAlias = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, a Pillow image, or uint8 [H, W], [H, W, 1] or [H, W, 3]."""

_ARRAYS = "uint8 [H, W] grey or [H, W, 3] in RGB"
_SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, PIL.Image.Image)


def listed(images: Given | Sequence[Given]) -> list[Given]:
    """Return the images one by one; one array [N, H, W, 3] or [N, H, W, 1] holds several.

    Raises:
        DataError: An array of another shape.
    """
    if isinstance(images, _SINGLE):
        return [cast(Given, images)]
    if isinstance(images, np.ndarray) and images.ndim != 4:
        if images.ndim in (2, 3):
            return [images]
        raise DataError(
            f"images in one array must be {_ARRAYS}, or [N, H, W, 1 or 3], not "
            f"{images.dtype} {list(images.shape)}"
        )
    return list(images)


def pixels_of(image: Given) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 [H, W, 3] RGB, upright, as `decode` gives them.

    Raises:
        ImageError: A file, or bytes, that cannot be read as an image.
        DataError: Something else, or an array of another kind or shape.
    """
    if isinstance(image, str | os.PathLike):
        return decode(os.fspath(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_bytes(bytes(image))
    if isinstance(image, PIL.Image.Image):
        if image.mode in ("I", "F"):
            raise DataError(
                f"a Pillow image of mode {image.mode} has no fixed white: convert it to L or RGB"
            )
        return rgb_of(image)
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError):  # a tensor on a GPU, for one
        array = np.empty(0, object)
    if array.dtype == object or not array.ndim:
        raise DataError(
            f"an image must be a path, bytes, a Pillow image or an array {_ARRAYS}, not "
            f"{type(image).__name__}"
        )
    grey = array.ndim == 2 or array.shape[2:] == (1,)
    if array.dtype != np.uint8 or not array.size or not (grey or array.shape[2:] == (3,)):
        raise DataError(f"an image must be {_ARRAYS}, not {array.dtype} {list(array.shape)}")
    return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2) if grey else array
