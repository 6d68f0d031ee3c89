"""Images given in Python: paths, bytes, Pillow images, arrays."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facever.core.files import sha256_of_file
from facever.data.acquisition import Acquire, FailureToAcquire, OnError, may_reduce, named
from facever.data.decode import ImageError, decode, decode_bytes, read_bytes, rgb_of
from facever.data.members import split_member
from facever.errors import DataError

Given: TypeAlias = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[np.uint8]
"""A path, the bytes of an image file, a Pillow image, or uint8 [H, W], [H, W, 1] or [H, W, 3]."""

_ARRAYS = "uint8 [H, W] grey or [H, W, 3] in RGB"
_SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, PIL.Image.Image)


def listed(images: Given | Sequence[Given]) -> list[Given]:
    """Return the images as a list; one array [N, H, W, 3] or [N, H, W, 1] contains several.

    Raises:
        DataError: An array has another shape.
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


def pixels_of(image: Given, reduce: bool = False) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 [H, W, 3] RGB, upright, like `decode`.

    Args:
        image: An image in any form.
        reduce: As for `decode`.

    Raises:
        ImageError: A file or bytes cannot be read as an image.
        DataError: It is not an image, or an array has another type or shape.
    """
    if isinstance(image, str | os.PathLike):
        return decode(os.fspath(image), reduce=reduce)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_bytes(bytes(image), reduce=reduce)
    if isinstance(image, PIL.Image.Image):
        if image.mode in ("I", "F"):
            raise DataError(
                f"a Pillow image of mode {image.mode} has no defined range of values: convert it "
                "to L or RGB"
            )
        return rgb_of(image)
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError):  # for example a tensor on a GPU
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


def read_images(
    images: Iterable[Given],
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    on_error: OnError = "skip",
    faces: Acquire | None = None,
    first: int = 0,
) -> tuple[list[NDArray[np.uint8]], list[str | None], list[dict[str, Any]]]:
    """Read images one after the other.

    Args:
        images: Images in any form.
        prepare: Applied to each image's pixels before the next one is read.
        on_error: "skip" omits an unreadable image or a photo without a face; "raise" raises its
            error.
        faces: Cropping of photos, before `prepare`; None for crops.
        first: Number of the first image among those of the caller.

    Returns:
        The pixels of the readable images; for each image the error, or None; and for each readable
        image the columns of its face (empty for crops).

    Raises:
        ImageError: With "raise", an image cannot be read.
        FailureToAcquire: With "raise", a photo has no face.
        DataError: Something is not an image.
    """
    read: list[NDArray[np.uint8]] = []
    errors: list[str | None] = []
    columns: list[dict[str, Any]] = []
    for number, image in enumerate(images, first):
        try:
            pixels = pixels_of(image, may_reduce(faces))
            if faces is not None:
                pixels, said = faces(pixels, number)
                columns.append(said)
        except (ImageError, FailureToAcquire) as error:
            if on_error == "raise":
                raise named(error, name_of(image, number)) from None
            errors.append(str(error))
            continue
        read.append(pixels if prepare is None else prepare(pixels))
        errors.append(None)
    return read, errors, columns


def name_of(image: Given, number: int) -> str:
    """Return an image's name for messages: its path, or its position."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {number}"


def hash_of(image: Given) -> str:
    """Return the SHA-256 of an image's bytes, or of its pixels if it has no file.

    A file and its bytes have the same hash, as have an image of an array file and its pixels.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        if Path(path).is_file():
            return sha256_of_file(Path(path))
        if split_member(path):
            return hashlib.sha256(read_bytes(path)).hexdigest()
    return hashlib.sha256(pixels_of(image).tobytes()).hexdigest()
