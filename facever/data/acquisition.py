"""Acquisition: a photo becomes the crop of a face, or a failure to acquire with its reason.

The interface between image loading and face detection (`facever.faces.FaceCropper`, or a user's
class). The columns that describe the face of a crop are written and read here.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.errors import DataError

OnError = Literal["raise", "skip"]
"""What to do with an image that cannot be used: raise its error, or skip it and record the
error.
"""

FACE_COLUMNS = ("box", "landmarks", "detection_score", "quality", "quality_reasons")
"""Columns of a row made from a photo; see `face_columns`."""

POINTS = 5
"""Number of landmarks: right eye, left eye, nose, right and left mouth corner, as seen from the
person.
"""

_BETWEEN = re.compile(r"[\s,;]+")


class FailureToAcquire(DataError):  # noqa: N818 - ISO/IEC 19795-1's name
    """A photo gives no vector: it has no face, several faces, or none of sufficient quality.

    Args:
        reason: The reason without the photo's name, such as "no face found".
        path: The photo's name, if known.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason, self.path = reason, path

    def __reduce__(self) -> tuple[type["FailureToAcquire"], tuple[str, str]]:
        return type(self), (self.reason, self.path)  # sent between processes


class Acquired(NamedTuple):
    """A face cropped from a photo.

    Args:
        pixels: The crop, uint8 [H, W, 3] RGB.
        columns: Columns of its row, from `face_columns`.
    """

    pixels: NDArray[np.uint8]
    columns: dict[str, Any]


@runtime_checkable
class PhotoCropper(Protocol):
    """Crops faces from photos for loaders. Must be picklable and thread-safe.

    Photos are uint8 [H, W, 3] RGB, upright, as from `facever.data.decode`; sizes are (height,
    width) in pixels, as in `Preprocessing.size`.
    """

    provenance: dict[str, Any]
    """Description of the cropper: plain values, such as {"detector": name, "detector_sha256": hash,
    "template": "arcface-112", "face": "largest", "min_quality": 0.0}. It is stored in
    `EmbeddingMeta.acquisition`.
    """

    def crop(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Acquired:
        """Crop the selected face.

        Raises:
            FailureToAcquire: There is no such face.
        """

    def crops(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Sequence[Acquired]:
        """Crop every face.

        Raises:
            FailureToAcquire: There is no face.
        """

    def cut(
        self, photo: NDArray[np.uint8], landmarks: NDArray[np.float32], size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Crop a face by given landmarks, float32 [5, 2], without detection.

        Returns:
            uint8 [H, W, 3] RGB of this size.
        """


Acquire: TypeAlias = Callable[[NDArray[np.uint8], int], Acquired]
"""Step of loaders before a model's preprocessing, called with a photo and its row number. It raises
FailureToAcquire if there is no face. `FaceStep` is one.
"""


class FaceStep:
    """Crops a photo's face before a model's preprocessing.

    Args:
        cropper: Detects and crops faces.
        size: (height, width) of the crops, in pixels; see `Preprocessing.uncropped_size`.
        landmarks: Landmarks of each photo, as from `landmarks_of`, if the data has some. Photos
            with landmarks are cropped by them; in the others (None or missing) faces are detected.
        failures: For each photo the reason why it has no face, or None if unknown.
    """

    def __init__(
        self,
        cropper: PhotoCropper,
        size: tuple[int, int],
        landmarks: Sequence[object] | None = None,
        failures: Sequence[str | None] | None = None,
    ) -> None:
        self.cropper, self.size = cropper, size
        self._landmarks, self._failures = landmarks, failures

    @property
    def landmarks_given(self) -> bool:
        """Whether the landmarks are from the data; those of a first pass have failures, too."""
        return self._landmarks is not None and self._failures is None

    @property
    def every_face(self) -> bool:
        """Whether all faces of a photo are used, not one."""
        return getattr(self.cropper, "which", None) == "all"

    def __call__(self, photo: NDArray[np.uint8], row: int) -> Acquired:
        """Crop the face of the photo of a row; without columns if the data has landmarks.

        Raises:
            FailureToAcquire: There is no face.
            DataError: The row's landmarks are not ten numbers.
        """
        if self._failures is not None and (failure := self._failures[row]) is not None:
            raise FailureToAcquire(failure)
        known = None if self._landmarks is None else self._landmarks[row]
        if not isinstance(known, str) or not known:
            return self.cropper.crop(photo, self.size)
        return Acquired(self.cropper.cut(photo, landmarks_of(known), self.size), {})


def may_reduce(faces: Acquire | None) -> bool:
    """Return whether a photo with too many pixels may be decoded at a reduced size.

    Not for crops, nor for photos with landmarks from the data, which refer to the full size.
    """
    return faces is not None and not getattr(faces, "landmarks_given", False)


def named(error: DataError, path: str) -> DataError:
    """Return the error of an image with the image's name, which is added if missing."""
    return FailureToAcquire(error.reason, path) if isinstance(error, FailureToAcquire) else error


def face_columns(
    box: Sequence[float],
    landmarks: ArrayLike,
    detection_score: float,
    quality: float,
    reasons: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the columns that describe a face.

    Args:
        box: Left, top, width and height in pixels of the upright photo.
        landmarks: [5, 2], x and y in pixels of the upright photo.
        detection_score: Score of the detector, 0 to 1.
        quality: Quality, 0 to 100.
        reasons: Reasons for a low quality, as text.
    """
    return {
        "box": _written(box),
        "landmarks": _written(np.asarray(landmarks).ravel(), 2),
        "detection_score": round(float(detection_score), 4),
        "quality": round(float(quality), 1),
        "quality_reasons": "; ".join(reasons),
    }


def landmarks_of(text: str) -> NDArray[np.float32]:
    """Return the landmarks of a cell, float32 [5, 2].

    Raises:
        DataError: The cell does not contain ten numbers.
    """
    return _numbers(text, "landmarks", 2 * POINTS, "x y of five points").reshape(POINTS, 2)


def box_of(text: str) -> tuple[float, float, float, float]:
    """Return the box of a cell: left, top, width and height in pixels.

    Raises:
        DataError: The cell does not contain four numbers.
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
