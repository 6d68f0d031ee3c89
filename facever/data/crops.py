"""Crops to keep: what a model saw of each image, as a PNG file without metadata."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.data.acquisition import Acquire, Acquired

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}  # without metadata

CROP = "crop"
"""The column of a row's `KeptCrop`; it is never written to a file."""


class KeptCrop(NamedTuple):
    """What a model saw of an image.

    Args:
        alignment: Template that it is aligned by: "arcface-112", or "none".
        png: A PNG file without metadata, of the size that the model's preprocessing takes.
    """

    alignment: str
    png: bytes


class CropKeeper:
    """A step of loaders that adds to the columns of each image its `KeptCrop`.

    Args:
        faces: Cropping of photos; None for crops, which remain as they are.
        alignment: Template of the crops.
        resize: Returns a crop in the size that the model's preprocessing takes.
    """

    def __init__(
        self,
        faces: Acquire | None,
        alignment: str,
        resize: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    ) -> None:
        self._faces, self._alignment, self._resize = faces, alignment, resize

    @property
    def landmarks_given(self) -> bool:
        """Whether images must be decoded at their full size; see `may_reduce`."""
        return self._faces is None or bool(getattr(self._faces, "landmarks_given", False))

    def __call__(self, photo: NDArray[np.uint8], row: int) -> Acquired:
        """Return the pixels of a row's face, or of a crop, with the columns.

        Raises:
            FailureToAcquire: There is no face.
        """
        pixels, columns = (photo, {}) if self._faces is None else self._faces(photo, row)
        crop = KeptCrop(self._alignment, png_of(self._resize(pixels)))
        return Acquired(pixels, {**columns, CROP: crop})


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of an image, uint8 [H, W, 3] RGB, without metadata."""
    import cv2  # for those who need it

    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


def is_plain_png(data: bytes) -> bool:
    """Return whether bytes are a PNG file as `png_of` writes it: complete, and without metadata."""
    names, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        names.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4])  # length and name, data, checksum
    return data.startswith(_SIGNATURE) and set(names) == _CHUNKS and at == len(data)
