"""Acquisition: a photo becomes the crop of a face, or a failure to acquire with its reason.

The seam between what loads images and what finds faces in them (`facever.faces.FaceCropper`, or a
user's own class). What a crop's row says of its face are plain columns, written and read here.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.errors import DataError

OnError = Literal["raise", "skip"]
"""What an image that cannot be used does: end all with its error, or be left out with it."""

FACE_COLUMNS = ("box", "landmarks", "detection_score", "quality", "quality_reasons")
"""What a row made from a photo says of its face; see `face_columns`."""

POINTS = 5
"""Landmarks of a face: right eye, left eye, nose, right and left mouth corner, the person's own."""

_BETWEEN = re.compile(r"[\s,;]+")


class FailureToAcquire(DataError):  # noqa: N818 - ISO/IEC 19795-1's name
    """No vector can be made of a photo: no face, several, or none above the quality gate.

    Args:
        reason: Why, without the photo's name: "no face found", for one.
        path: The photo's name, where it is known.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason, self.path = reason, path

    def __reduce__(self) -> tuple[type["FailureToAcquire"], tuple[str, str]]:
        return type(self), (self.reason, self.path)  # it travels between processes


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


Acquire: TypeAlias = Callable[[NDArray[np.uint8], int], Acquired]
"""What loaders do with each photo, a number its row, before a model's preprocessing; it raises
FailureToAcquire where there is no face. `FaceStep` is one."""


class FaceStep:
    """What loaders do with each photo before the preprocessing of a model.

    Args:
        cropper: Finds and cuts faces.
        size: (height, width) of the crops, in pixels; see `Preprocessing.uncropped_size`.
        landmarks: Of each photo as `landmarks_of` reads them, where the data bring some: these
            photos are cut by them, the others (None or missing) are searched for a face.
        failures: Of each photo, why it is known to have no face, or None.
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
        """Whether the data brought landmarks; those of a first pass have failures beside them."""
        return self._landmarks is not None and self._failures is None

    @property
    def every_face(self) -> bool:
        """Whether all faces of a photo are asked for, not one."""
        return getattr(self.cropper, "which", None) == "all"

    def __call__(self, photo: NDArray[np.uint8], row: int) -> Acquired:
        """Cut the face of the photo of a row. Without columns where the data had landmarks.

        Raises:
            FailureToAcquire: There is none.
            DataError: The row's landmarks are not ten numbers.
        """
        if self._failures is not None and (failure := self._failures[row]) is not None:
            raise FailureToAcquire(failure)
        known = None if self._landmarks is None else self._landmarks[row]
        if not isinstance(known, str) or not known:
            return self.cropper.crop(photo, self.size)
        return Acquired(self.cropper.cut(photo, landmarks_of(known), self.size), {})


def may_reduce(faces: Acquire | None) -> bool:
    """Return whether a photo of too many pixels may be read at a part of its size.

    Crops may not, and photos neither whose landmarks the data bring: those are in whole pixels.
    """
    return faces is not None and not getattr(faces, "landmarks_given", False)


def named(error: DataError, path: str) -> DataError:
    """Return the error of an image with its name in it; one that has it stays as it is."""
    return FailureToAcquire(error.reason, path) if isinstance(error, FailureToAcquire) else error


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
