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
            right and the left corner of the mouth (the person's own right, which is on the left of
            the picture, comes first).
        score: The detector's, 0 to 1.
        turn: By how many degrees the photo was turned clockwise to find the face: 0, 90, 180, 270.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float
    turn: int = 0

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, x and y."""
        left, top, width, height = self.box
        return left + width / 2, top + height / 2

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes; in a turned head, what they are in a frontal face of its size.

        The larger one of the distance between the eyes and 0.87 of that from the middle of the eyes
        to the middle of the mouth, the ratio of a frontal face in ArcFace's template.
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
