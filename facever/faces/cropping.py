"""Cropping: from a photo to the aligned crops of its faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.data.acquisition import Acquired, FailureToAcquire, face_columns
from facever.errors import ConfigError
from facever.faces.alignment import ARCFACE, align, template
from facever.faces.detection import Detector, YuNet
from facever.faces.face import Face
from facever.faces.quality import LearnedQuality, Quality, quality_of
from facever.faces.selection import Which, checked_which, select

_TURNS = (90, 180, 270)


class FaceCropper:
    """Detects the faces in photos, selects them by rule and quality, and aligns them.

    It is picklable and thread-safe.

    Args:
        detector: Detector of faces; by default YuNet.
        which: Face of a photo to use: "largest", "central", "only" (refuse a photo with several) or
            "all".
        min_quality: Faces below this quality (0 to 100) are refused.
        rotations: Whether faces are also detected in the photo rotated by 90, 180 and 270 degrees.
            The rotation with the highest detection score is used. It takes four times as long.
        alignment: The template that faces are aligned to.
        learned_quality: A model that gives the quality instead of the simple measures.

    Attributes:
        provenance: Description as plain values: the detector and its file's SHA-256, the template,
            the rule and the minimum quality.

    Raises:
        ConfigError: There is no such rule, or the quality is out of range.
        ModelError: The default detector is not on this machine.

    Example:
        >>> cropper = FaceCropper(which="only")  # doctest: +SKIP
        >>> crop, columns = cropper.crop(photo, (112, 112))  # doctest: +SKIP
    """

    def __init__(
        self,
        detector: Detector | None = None,
        *,
        which: Which = "largest",
        min_quality: float = 5.0,
        rotations: bool = False,
        alignment: str = ARCFACE,
        learned_quality: LearnedQuality | None = None,
    ) -> None:
        if not 0 <= min_quality <= 100:
            raise ConfigError(f"min_quality is {min_quality:g} (allowed: 0 to 100)")
        self.detector = YuNet() if detector is None else detector
        self.which, self.min_quality = checked_which(which), float(min_quality)
        self.rotations, self.alignment = rotations, alignment
        template(alignment, 112)
        self._learned = learned_quality
        self.provenance = self._provenance()

    def faces(self, photo: NDArray[np.uint8]) -> list[Face]:
        """Return the selected faces, best first, of any quality.

        Args:
            photo: uint8 [H, W, 3], RGB, upright.

        Raises:
            FailureToAcquire: There is no face, or several with "only".
        """
        found = list(self.detector.detect(photo))
        for turn in _TURNS if self.rotations else ():
            turned = np.ascontiguousarray(np.rot90(photo, -turn // 90))
            others = self.detector.detect(turned)
            if _best(others) > _best(found):
                found = [turned_back(face, turn, photo.shape[:2]) for face in others]
        meant = select(found, self.which, photo.shape[:2])
        refine = getattr(self.detector, "refine", None)
        if refine is None:
            return meant
        return [face if face.turn else refine(photo, face) for face in meant]

    def crop(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> Acquired:
        """Crop the selected face; see `facever.data.acquisition.PhotoCropper`.

        Raises:
            FailureToAcquire: There is no face, several with "only", or one below the minimum
                quality.
        """
        return self.crops(photo, size)[0]

    def crops(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> list[Acquired]:
        """Crop the selected faces: all with "all", else one.

        Args:
            photo: uint8 [H, W, 3], RGB, upright.
            size: (height, width) of the crops in pixels.

        Raises:
            FailureToAcquire: As `crop`; with "all" if no face reaches the minimum quality.
        """
        acquired, refused = [], []
        for face in self.faces(photo):
            crop = self.cut(photo, face.landmarks, size)
            judged = self.judge(photo, face, crop)
            if judged.score < self.min_quality:
                refused.append(judged)
                continue
            columns = face_columns(
                face.box, face.landmarks, face.score, judged.score, judged.reasons
            )
            acquired.append(Acquired(crop, columns))
        if not acquired:
            best = max(refused, key=lambda one: one.score)
            why = f": {'; '.join(best.reasons)}" if best.reasons else ""
            raise FailureToAcquire(
                f"quality {best.score:.0f} is below the minimum of {self.min_quality:g}{why}"
            )
        return acquired

    def cut(
        self, photo: NDArray[np.uint8], landmarks: ArrayLike, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Crop a face by given landmarks, [5, 2], without detection."""
        return align(photo, landmarks, size, self.alignment)

    def judge(self, photo: NDArray[np.uint8], face: Face, crop: NDArray[np.uint8]) -> Quality:
        """Return the quality of a face; it is cropped again if the crop is not 112 x 112."""
        if crop.shape[:2] != (112, 112):
            crop = align(photo, face.landmarks, 112, self.alignment)
        return quality_of(face, crop, self._learned, face.inside(photo.shape[:2]))

    def _provenance(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "detector": self.detector.name,
            "detector_sha256": self.detector.sha256,
            "template": self.alignment,
            "face": self.which,
            "min_quality": self.min_quality,
            "rotations": self.rotations,
        }
        score = getattr(self.detector, "min_score", None)
        if score is not None:
            said["min_score"] = score
        if self._learned is not None:
            said["quality_sha256"] = getattr(self._learned, "sha256", type(self._learned).__name__)
        return said


def _best(faces: Sequence[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def turned_back(face: Face, turn: int, size: tuple[int, int]) -> Face:
    """Return a face of a rotated photo in the pixels of the original photo.

    Args:
        face: The face in the photo rotated clockwise.
        turn: The rotation in degrees: 90, 180 or 270.
        size: (height, width) of the original photo.
    """
    height, width = size

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        if turn == 90:
            return np.stack([y, height - 1 - x], axis=1)
        if turn == 180:
            return np.stack([width - 1 - x, height - 1 - y], axis=1)
        return np.stack([width - 1 - y, x], axis=1)

    left, top, w, h = face.box
    corners = back(np.array([[left, top], [left + w, top + h]], np.float64))
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    landmarks = back(face.landmarks.astype(np.float64)).astype(np.float32)
    box = (float(x0), float(y0), float(x1 - x0), float(y1 - y0))
    return Face(box, landmarks, face.score, turn)
