"""Detectors of faces in photos."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.catalogue import entries, entry, introduce, path_of
from facever.core.files import sha256_of_file
from facever.errors import ConfigError, ModelError
from facever.faces.face import Face

Photo = NDArray[np.uint8]

_LONGEST = 960  # pixels per side: in larger photos, faces are detected in a reduced copy
_BEFORE_SUPPRESSION = 5000  # boxes
_PATCH, _SHARE = 256, 0.4  # pixels per side, and the face's share of it
_STEADY = (55.0, 170.0)  # pixels: faces of this size are not refined (docs/photos.md)
_log_level = threading.Lock()  # OpenCV has one log level per process


class Detector(Protocol):
    """Interface of a face detector; a user's class can implement it.

    Several threads use it at once, and it is pickled for worker processes.
    """

    name: str
    sha256: str | None
    """SHA-256 of the detector's file, in hexadecimal; None if it has no file."""

    def detect(self, photo: Photo, /) -> Sequence[Face]:
        """Return the faces of a photo, uint8 [H, W, 3] RGB, in any order."""


class YuNet:
    """YuNet with OpenCV's FaceDetectorYN.

    In a photo with a side above 960 pixels, faces are detected in a reduced copy. YuNet's landmarks
    depend on the size of the face in its input, so `refine` detects a face again in a patch in
    which it has a suitable size.

    Args:
        path: The ONNX file; by default that of the catalogue (`facever.catalogue.path_of`).
        min_score: Faces below this score are not returned, 0 to 1.

    Attributes:
        name, sha256: See `Detector`.

    Raises:
        ModelError: The model is not on this machine, or OpenCV cannot read the file.
        ConfigError: The score is out of range.

    Reference:
        Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence
        Research 2023.
    """

    def __init__(self, path: str | Path | None = None, *, min_score: float = 0.7) -> None:
        if not 0 < min_score < 1:
            raise ConfigError(f"min_score is {min_score:g} (allowed: between 0 and 1)")
        if path is None:
            introduce(entry("yunet"))
        self._path = path_of("yunet") if path is None else Path(path)
        self.min_score = min_score
        self.sha256: str | None = _hash_of(self._path)
        known = {one.sha256: one.name for one in entries()}
        self.name = known.get(self.sha256 or "", self._path.name)
        self._own = threading.local()  # FaceDetectorYN has buffers: one instance per thread
        self._engine()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._path, self.min_score)

    def detect(self, photo: Photo) -> list[Face]:
        """Return the faces of a photo, highest score first.

        Args:
            photo: uint8 [H, W, 3], RGB.
        """
        height, width = photo.shape[:2]
        factor = max(height, width) / _LONGEST
        if factor <= 1:
            return self._faces(photo)
        size = max(1, round(width / factor)), max(1, round(height / factor))
        copy: Photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        scale = np.array([width / size[0], height / size[1]])
        return [_placed(face, scale, (scale - 1) / 2) for face in self._faces(copy)]

    def refine(self, photo: Photo, face: Face) -> Face:
        """Return the face with landmarks from a patch in which it is about 100 pixels wide.

        A face detected at 55 to 170 pixels is unchanged, and so is one that is not detected in the
        patch.

        Args:
            photo: uint8 [H, W, 3], RGB.
            face: A face from `detect`.
        """
        left, top, width, height = face.box
        longer = max(width, height)
        reduced = max(1.0, max(photo.shape[:2]) / _LONGEST)
        if not longer or _STEADY[0] <= longer / reduced <= _STEADY[1]:
            return face
        side = longer / _SHARE
        corner = np.array([left + width / 2, top + height / 2]) - side / 2
        patch = _patch(photo, corner, side)
        found = [again for again in self._faces(patch) if _near_middle(again)]
        if not found:
            return face
        best = max(found, key=lambda one: one.score)
        scale = np.full(2, side / _PATCH)
        again = _placed(best, scale, corner + (scale - 1) / 2)
        return replace(face, landmarks=again.landmarks)

    def _faces(self, photo: Photo) -> list[Face]:
        engine = self._engine()
        engine.setInputSize((photo.shape[1], photo.shape[0]))
        _, rows = engine.detect(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        faces = []
        for row in rows[np.isfinite(rows).all(axis=1)]:
            left, top, width, height = row[:4].tolist()
            faces.append(Face((left, top, width, height), row[4:14].reshape(5, 2), float(row[14])))
        return faces

    def _engine(self) -> Any:
        if not hasattr(self._own, "engine"):
            try:
                with _log_level:
                    self._own.engine = _created(self._path, self.min_score)
            except cv2.error as error:
                raise ModelError(
                    f"{self._path} cannot be read as a YuNet model by OpenCV {cv2.__version__}: "
                    "give the 2023mar file (facever models get yunet)"
                ) from error
        return self._own.engine


def _created(path: Path, min_score: float) -> Any:
    """Return OpenCV's detector, without OpenCV 5's warning; errors are exceptions."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(min(level, logging.LOG_LEVEL_ERROR))
    try:
        return cv2.FaceDetectorYN.create(
            str(path), "", (320, 320), min_score, 0.3, _BEFORE_SUPPRESSION
        )
    finally:
        logging.setLogLevel(level)


def _again(path: Path, min_score: float) -> YuNet:
    return YuNet(path, min_score=min_score)


def _hash_of(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): give YuNet's file") from error


def _placed(face: Face, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Face:
    """Return a face of a copy in the pixels of the photo: p * scale + shift."""
    left, top, width, height = face.box
    box = (
        left * scale[0] + shift[0],
        top * scale[1] + shift[1],
        width * scale[0],
        height * scale[1],
    )
    x, y, w, h = map(float, box)
    landmarks = (face.landmarks * scale + shift).astype(np.float32)
    return replace(face, box=(x, y, w, h), landmarks=landmarks)


def _patch(photo: Photo, corner: NDArray[np.float64], side: float) -> Photo:
    """Return the square of a photo at `corner`, resized; areas outside the photo are black."""
    x, y = (int(value) for value in np.floor(corner))
    whole = int(np.ceil(side)) + 1
    part = photo[max(0, y) : max(0, y + whole), max(0, x) : max(0, x + whole)]
    before_y, before_x = min(whole, max(0, -y)), min(whole, max(0, -x))
    after_y = whole - before_y - part.shape[0]
    after_x = whole - before_x - part.shape[1]
    square = cv2.copyMakeBorder(
        part, before_y, after_y, before_x, after_x, cv2.BORDER_CONSTANT, value=(0, 0, 0)
    )
    method = cv2.INTER_AREA if whole > _PATCH else cv2.INTER_LINEAR
    resized: Photo = cv2.resize(square, (_PATCH, _PATCH), interpolation=method)
    return resized


def _near_middle(face: Face) -> bool:
    middle = _PATCH / 2
    x, y = face.centre
    return abs(x - middle) < _PATCH * _SHARE / 2 and abs(y - middle) < _PATCH * _SHARE / 2
