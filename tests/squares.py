"""Photos whose "faces" are bright squares on black, and a cropper that finds them exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.data.acquisition import Acquired, FailureToAcquire, face_columns

Pixels = NDArray[np.uint8]


class SquareCropper:
    """Cuts bright squares, the largest first; counts how often it looked for some."""

    def __init__(self, which: str = "largest") -> None:
        self.which, self.looked = which, 0
        self.provenance: dict[str, Any] = {
            "detector": "squares",
            "detector_sha256": None,
            "template": "arcface-112",
            "face": which,
            "min_quality": 0.0,
        }

    def crops(self, photo: Pixels, size: tuple[int, int]) -> list[Acquired]:
        self.looked += 1
        bright = (photo.max(axis=2) > 40).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        found = sorted((row[:4].tolist() for row in stats[1:]), key=lambda box: -box[2])
        if not found:
            raise FailureToAcquire("no face found")
        if self.which == "only" and len(found) > 1:
            raise FailureToAcquire(f"{len(found)} faces found, but only one is allowed")
        acquired = []
        for left, top, width, height in found if self.which == "all" else found[:1]:
            right, bottom = left + width, top + height
            points = [[right, top], [left, top], [left, top], [right, bottom], [left, bottom]]
            columns = face_columns((left, top, width, height), points, 0.9, width, ["small"])
            acquired.append(Acquired(self.cut(photo, np.array(points, np.float32), size), columns))
        return acquired

    def crop(self, photo: Pixels, size: tuple[int, int]) -> Acquired:
        return self.crops(photo, size)[0]

    def cut(self, photo: Pixels, landmarks: NDArray[np.float32], size: tuple[int, int]) -> Pixels:
        (left, top), (right, bottom) = (
            landmarks.min(axis=0).round().astype(int),
            landmarks.max(axis=0).round().astype(int),
        )
        made: Pixels = cv2.resize(photo[top:bottom, left:right], size[::-1])
        return made


def photo(*squares: tuple[int, int, int, Sequence[int]], size: int = 90) -> Pixels:
    """Return a photo with squares (left, top, side, colour)."""
    made = np.zeros((size, size + 10, 3), np.uint8)
    for left, top, side, colour in squares:
        made[top : top + side, left : left + side] = colour
    return made


def patch(seed: int) -> list[int]:
    """Return the colour of a person."""
    return np.random.default_rng(seed).integers(60, 256, 3).tolist()


def write(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[:, :, ::-1])
    return path


class AlignedColours:
    """A model of one's own that needs aligned crops: the mean colour of each quarter of a crop."""

    fingerprint, dimension, alignment = "aligned colours", 12, "arcface-112"
    preprocessing = {"size": [16, 16]}  # noqa: RUF012

    def embed(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        assert all(image.shape == (16, 16, 3) for image in images)
        rows = [
            part.mean(axis=(0, 1))
            for image in images
            for half in np.array_split(image, 2)
            for part in np.array_split(half, 2, axis=1)
        ]
        return np.array(rows).reshape(len(images), -1) - 127.5
