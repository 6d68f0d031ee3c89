"""A canvas in the coordinates of a head, and the projection of a posed head."""

from math import cos, sin
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.data.preprocessing import Image
from facever.data.synthetic.palette import Color

Points = NDArray[np.float64]

_SHIFT = 4  # OpenCV takes points in 1/16 pixels
_DEPTH = 0.75  # depth of the middle of the face
_SPAN = 1.36  # half heights of the head from the middle of the image to its edge


class _Shape(NamedTuple):
    points: Points
    color: Color
    width: float  # of a line; 0 fills
    on_outline: float  # 1: in the plane of the outline; 0: on the front
    bump: float


class Canvas:
    """An RGB image that shapes are drawn into, in half heights of the head.

    A shape lies on the front of the head and turns with it: yaw and pitch move it over an
    ellipsoid, `bump` lifts it off. A `flat` shape lies in the plane of the head's outline and
    only rolls. Shapes are collected and then placed together, which is faster.
    """

    def __init__(
        self,
        pixels: Image,
        *,
        angles: tuple[float, float, float],
        shift: tuple[float, float],
        scale: float,
        head_width: float,
    ) -> None:
        self.pixels = pixels
        self._axes = (head_width**2, 1.15)
        self._unit = pixels.shape[0] / (2 * _SPAN) * scale  # pixels per half height
        self._shapes: list[_Shape] = []
        yaw, pitch, roll = angles
        turn = np.array(
            [
                [cos(yaw), 0, sin(yaw)],
                [-sin(yaw) * sin(pitch), cos(pitch), cos(yaw) * sin(pitch)],
            ]
        )
        plane = np.array([[cos(roll), -sin(roll)], [sin(roll), cos(roll)]])
        self._flat = plane.T * self._unit * 2**_SHIFT
        self._deep = (plane @ turn).T * self._unit * 2**_SHIFT
        middle = pixels.shape[0] / 2 + np.array(shift) * self._unit
        self._origin = (middle - 0.5) * 2**_SHIFT

    def fill(self, points: Points, color: Color, *, flat: bool = False, bump: float = 0) -> None:
        """Fill a polygon of points [N, 2]."""
        self._shapes.append(_Shape(points, color, 0, flat, bump))

    def line(
        self, points: Points, color: Color, width: float, *, flat: bool = False, bump: float = 0
    ) -> None:
        """Draw a line through points [N, 2]."""
        self._shapes.append(_Shape(points, color, width, flat, bump))

    def fill_between(self, outline: Points, front: Points, color: Color) -> None:
        """Fill from points on the outline to points on the front, both from left to right."""
        self._shapes.append(_Shape(outline, color, -1, 1, 0))
        self._shapes.append(_Shape(front[::-1], color, 0, 0, 0))

    def paint(self) -> None:
        """Draw the collected shapes."""
        shapes, self._shapes = self._shapes, []
        lengths = [len(shape.points) for shape in shapes]
        placed = self._place(
            np.concatenate([shape.points for shape in shapes]),
            np.repeat([shape.on_outline for shape in shapes], lengths),
            np.repeat([shape.bump for shape in shapes], lengths),
        )
        start = stop = 0
        for shape, length in zip(shapes, lengths, strict=True):
            stop += length
            if shape.width < 0:  # continues with the next shape
                continue
            points = [placed[start:stop]]
            if shape.width:
                thickness = max(1, round(shape.width * self._unit))
                cv2.polylines(
                    self.pixels, points, False, shape.color, thickness, cv2.LINE_AA, _SHIFT
                )
            else:
                cv2.fillPoly(self.pixels, points, shape.color, cv2.LINE_AA, _SHIFT)
            start = stop

    def soften(self, width: float) -> None:
        """Draw the collected shapes and blur the whole image."""
        self.paint()
        pixels = 2 * round(width * self._unit / 2) + 1
        if pixels > 1:
            cv2.blur(self.pixels, (pixels, pixels), dst=self.pixels)

    def _place(self, points: Points, flat: Points, bump: Points) -> NDArray[np.int32]:
        """Return points [N, 2] in 1/16 pixels."""
        squares = points * points / self._axes
        height = _DEPTH * np.sqrt(np.maximum(1 - squares[:, 0] - squares[:, 1], 0)) + bump
        front = points @ self._deep[[0, 1]] + height[:, None] * self._deep[2]
        placed = np.where(flat[:, None] > 0, points @ self._flat, front)
        pixels: NDArray[np.int32] = (placed + self._origin).astype(np.int32)
        return pixels
