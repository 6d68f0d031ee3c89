"""A face in a photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Face:
    """A face that a detector found.

    All positions are in pixels of the upright photo; the centre of its first pixel is (0, 0).

    Args:
        box: Left, top, width and height.
        landmarks: float32 [5, 2], x and y of the right eye, the left eye, the tip of the nose, the
            right and the left corner of the mouth (right as seen from the person, which is left in
            the image).
        score: The detector's score, 0 to 1.
        turn: Clockwise rotation of the photo in which the face was detected, in degrees: 0, 90,
            180, 270.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float
    turn: int = 0

    @property
    def centre(self) -> tuple[float, float]:
        """The centre of the box, x and y."""
        left, top, width, height = self.box
        return left + width / 2, top + height / 2

    @property
    def eye_distance(self) -> float:
        """The eye distance in pixels; for a turned head, that of a frontal face of the same size.

        The larger one of the distance between the eyes and 0.87 times the distance between the
        middle of the eyes and the middle of the mouth (the ratio in ArcFace's template).
        """
        right, left, _, mouth_right, mouth_left = self.landmarks.astype(np.float64)
        between = float(np.linalg.norm(left - right))
        down = float(np.linalg.norm((mouth_right + mouth_left - right - left) / 2))
        return max(between, 0.87 * down)

    def inside(self, size: tuple[int, int]) -> float:
        """Return the share of the box that lies inside a photo of (height, width), 0 to 1."""
        left, top, width, height = self.box
        across = min(left + width, size[1]) - max(left, 0.0)
        down = min(top + height, size[0]) - max(top, 0.0)
        area = width * height
        return max(across, 0.0) * max(down, 0.0) / area if area > 0 else 0.0
