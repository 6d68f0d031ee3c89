"""Quality of a face in a photo for recognition, as one number with reasons as text.

The components are simple measures that follow ISO/IEC 29794-5:2025 in name (inter-eye distance,
sharpness, head pose, exposure); they are not the algorithms of that standard, and the number is not
its unified quality score.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.faces.face import Face

LearnedQuality: TypeAlias = Callable[[NDArray[np.uint8]], float]
"""A model that returns the quality of an aligned crop, uint8 [112, 112, 3] RGB: 0 (useless) to
100.
"""

_POINTS = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.57, 0.42], [-0.41, 1.15, 0.05], [0.41, 1.15, 0.05]]
)
"""The five landmarks of a face in units of the eye distance: right in the image, down, and towards
the camera. The plane is that of ArcFace's template; the tip of the nose is 0.42 in front of it.
"""

_CAMERA = np.linalg.pinv(_POINTS - _POINTS.mean(axis=0))
"""[3, 5]; the best-fitting affine camera is this matrix times the landmarks."""

_LOW = 0.5  # components below it become a reason


@dataclass(frozen=True)
class Quality:
    """Quality of a face for recognition.

    Args:
        score: 0 to 100: a hundred times the product of the components, or the score of a learned
            model.
        detection: The detector's score, 0 to 1.
        eye_distance: Eye distance in pixels of the photo.
        sharpness: Standard deviation of the Laplacian of the crop's luma, in grey levels.
        yaw, pitch, roll: Head pose in degrees, estimated from five landmarks: positive to the left
            of the image, upwards, and clockwise.
        exposure: Median luma of the face, 0 to 255.
        reasons: Reasons for a low score, as text.
    """

    score: float
    detection: float
    eye_distance: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    exposure: float
    reasons: tuple[str, ...] = field(default=())


def quality_of(
    face: Face,
    crop: NDArray[np.uint8],
    learned: LearnedQuality | None = None,
    inside: float = 1.0,
) -> Quality:
    """Compute the quality of a face.

    Args:
        face: The face, with positions in pixels of the photo.
        crop: The aligned crop, uint8 [112, 112, 3] RGB.
        learned: A model that gives the score; the reasons remain those of the components.
        inside: The share of the face's box that lies inside the photo, 0 to 1.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    inner = grey[28:104, 24:88]  # eyes to mouth
    sharpness = float(cv2.Laplacian(inner, cv2.CV_64F).std())
    dark, exposure, bright = map(float, np.percentile(inner, (5, 50, 95)))
    contrast = bright - dark
    yaw, pitch, roll = head_pose(face.landmarks)
    judged = {
        f"the detector is unsure (score {face.score:.2f})": _ramp(face.score, 0.5, 0.8),
        f"the face is small ({face.eye_distance:.0f} px between the eyes)": _ramp(
            face.eye_distance, 6, 30
        ),
        "part of the face lies outside the photo": _ramp(inside, 0.4, 0.9),
        "the face is blurred": _ramp(sharpness, 1.5, 8),
        f"the head is turned (yaw {yaw:.0f}, pitch {pitch:.0f} degrees)": 1
        - _ramp(max(abs(yaw), abs(pitch)), 30, 90),
        "the face is too dark": _ramp(exposure, 10, 60),
        "the face is too bright": 1 - _ramp(exposure, 200, 250),
        "the face has too little contrast": _ramp(contrast, 8, 40),
    }
    reasons = tuple(reason for reason, good in judged.items() if good < _LOW)
    score = 100 * float(np.prod(list(judged.values())))
    if learned is not None:
        score = float(np.clip(learned(crop), 0, 100))
    return Quality(
        score, face.score, face.eye_distance, sharpness, yaw, pitch, roll, exposure, reasons
    )


def head_pose(landmarks: ArrayLike) -> tuple[float, float, float]:
    """Estimate yaw, pitch and roll of a head in degrees from five landmarks.

    Scaled orthographic projection of a rigid model of five points: the affine camera by least
    squares, then the nearest rotation. It is exact for faces with the model's proportions, and a
    rough estimate for real faces.

    Args:
        landmarks: [5, 2], in the order of `Face.landmarks`, in any unit.

    Returns:
        Yaw (positive: to the left of the image), pitch (positive: upwards) and roll (positive:
        clockwise in the image).
    """
    points = np.asarray(landmarks, np.float64)
    affine = (_CAMERA @ (points - points.mean(axis=0))).T
    u, _, v = np.linalg.svd(affine, full_matrices=False)
    first, second = u @ v
    third = np.cross(first, second)
    yaw = np.degrees(np.arctan2(third[0], third[2]))
    pitch = np.degrees(np.arcsin(np.clip(third[1], -1, 1)))
    roll = np.degrees(np.arctan2(-first[1], second[1]))
    return float(yaw), float(pitch), float(roll)


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high`, and linear values between them."""
    return float(np.clip((value - low) / (high - low), 0, 1))
