"""The face step: a photo becomes the aligned crops of its faces."""

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
    """Finds the faces of photos, chooses, judges and aligns them. Picklable, and usable by threads.

    Args:
        detector: What finds faces; YuNet by default.
        which: Which face of a photo is meant: "largest", "central", "only" (a photo with several
            is refused) or "all".
        min_quality: Faces below this quality (0 to 100) are not acquired.
        rotations: Whether each photo is also tried turned by 90, 180 and 270 degrees: the turn
            with the face of the highest score counts. It takes four times as long.
        alignment: The template that faces are aligned to.
        learned_quality: A model that gives the quality in place of the simple measures.

    Attributes:
        provenance: What cut, as plain values: the detector and its file's SHA-256, the template,
            which face, and the gate.

    Raises:
        ConfigError: No such rule, or a quality out of range.
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
            raise ConfigError(f"min_quality is {min_quality:g}: give a number from 0 to 100")
        self.detector = YuNet() if detector is None else detector
        self.which, self.min_quality = checked_which(which), float(min_quality)
        self.rotations, self.alignment = rotations, alignment
        template(alignment, 112)
        self._learned = learned_quality
        self.provenance = self._provenance()

    def faces(self, photo: NDArray[np.uint8]) -> list[Face]:
        """Return the faces that are meant, best first, whatever their quality.

        Args:
            photo: uint8 [H, W, 3], RGB, upright.

        Raises:
            FailureToAcquire: No face, or several with "only".
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
        """Cut the face that is meant; see `facever.data.acquisition.PhotoCropper`.

        Raises:
            FailureToAcquire: No face, several with "only", or one below the quality gate.
        """
        return self.crops(photo, size)[0]

    def crops(self, photo: NDArray[np.uint8], size: tuple[int, int]) -> list[Acquired]:
        """Cut the faces that are meant: all of them with "all", else one.

        Args:
            photo: uint8 [H, W, 3], RGB, upright.
            size: (height, width) of the crops in pixels.

        Raises:
            FailureToAcquire: As `crop`; with "all" where no face passes the gate.
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
                f"quality {best.score:.0f} is below the gate of {self.min_quality:g}{why}"
            )
        return acquired

    def cut(
        self, photo: NDArray[np.uint8], landmarks: ArrayLike, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Cut a face by landmarks that are known, [5, 2], without detection."""
        return align(photo, landmarks, size, self.alignment)

    def judge(self, photo: NDArray[np.uint8], face: Face, crop: NDArray[np.uint8]) -> Quality:
        """Return the quality of a face; a crop of another size than 112 is cut again for it."""
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
    """Return a face of a turned photo in the pixels of the photo as it was.

    Args:
        face: Found in the photo that was turned clockwise.
        turn: By how many degrees: 90, 180 or 270.
        size: (height, width) of the photo as it was.
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
