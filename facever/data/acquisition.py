"""Acquisition: a photo becomes the crop of a face, or a failure to acquire with its reason.

The seam between what loads images and what finds faces in them (`facever.faces.FaceCropper`, or a
user's own class). What a crop's row says of its face are plain columns, written and read here.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.errors import DataError

FACE_COLUMNS = ("box", "landmarks", "detection_score", "quality", "quality_reasons")
"""What a row made from a photo says of its face; see `face_columns`."""

POINTS = 5
"""Landmarks of a face: right eye, left eye, nose, right and left mouth corner, the person's own."""

_BETWEEN = re.compile(r"[\s,;]+")


class FailureToAcquire(DataError):  # noqa: N818 - ISO/IEC 19795-1's name
    """No vector can be made of a photo: no face, several, or none above the quality gate.

    Attributes:
        reason: Why, without the photo's name: "no face found", for one.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(self)


class Acquired(NamedTuple):
    """A face that was cut from a photo.

    Args:
        pixels: The crop, uint8 [H, W, 3] RGB.
        columns: What its row says of it, as `face_columns` makes it.
    """

    pixels: NDArray[np.uint8]
    columns: dict[str, Any]


@runtime_checkable
class PhotoCropper(Protocol):
    """What loaders call to cut faces from photos. Picklable, usable from several threads.

    Photos are uint8 [H, W, 3] RGB, upright, as `facever.data.decode` gives them; sizes are
    (height, width) in pixels, those of `Preprocessing.size`.
    """

    provenance: dict[str, Any]
    """What cut: plain values, such as {"detector": name, "detector_sha256": hash, "template":
    "arcface-112", "face": "largest", "min_quality": 0.0}. `EmbeddingMeta.acquisition` keeps it."""

    def crop(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Acquired:
        """Cut the one face that was asked for.

        Raises:
            FailureToAcquire: There is none.
        """

    def crops(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Sequence[Acquired]:
        """Cut every face.

        Raises:
            FailureToAcquire: There is none.
        """

    def cut(
        self, photo: NDArray[np.uint8], landmarks: NDArray[np.float32], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Cut a face by landmarks that are known, float32 [5, 2], without detection.

        Returns:
            uint8 [H, W, 3] RGB of this size.
        """


def face_columns(
    box: Sequence[float],
    landmarks: ArrayLike,
    detection_score: float,
    quality: float,
    reasons: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what a row says of its face.

    Args:
        box: Left, top, width and height in pixels of the upright photo.
        landmarks: [5, 2], x and y in pixels of the upright photo.
        detection_score: Of the detector, 0 to 1.
        quality: 0 to 100.
        reasons: What lowers the quality, in words.
    """
    return {
        "box": _written(box),
        "landmarks": _written(np.asarray(landmarks).ravel(), 2),
        "detection_score": round(float(detection_score), 4),
        "quality": round(float(quality), 1),
        "quality_reasons": "; ".join(reasons),
    }


def landmarks_of(text: str) -> NDArray[np.float32]:
    """Return the landmarks that a cell holds, float32 [5, 2].

    Raises:
        DataError: It does not hold ten numbers.
    """
    return _numbers(text, "landmarks", 2 * POINTS, "x y of five points").reshape(POINTS, 2)


def box_of(text: str) -> tuple[float, float, float, float]:
    """Return the box that a cell holds: left, top, width and height in pixels.

    Raises:
        DataError: It does not hold four numbers.
    """
    left, top, width, height = _numbers(text, "box", 4, "left top width height").tolist()
    return left, top, width, height


def _written(values: ArrayLike, decimals: int = 1) -> str:
    return " ".join(f"{value:.{decimals}f}" for value in np.asarray(values, float).tolist())


def _numbers(text: str, name: str, count: int, what: str) -> NDArray[np.float32]:
    try:
        values = np.array([float(word) for word in _BETWEEN.split(text.strip("[]() "))], np.float32)
    except (ValueError, AttributeError):
        values = np.empty(0, np.float32)
    if len(values) != count or not np.isfinite(values).all():
        raise DataError(f"{name} must be {count} numbers ({what}), not '{text}'")
    return values
