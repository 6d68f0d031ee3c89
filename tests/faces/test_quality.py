"""The quality of faces: poses in closed form, each component alone, and a learned model."""

import cv2
import numpy as np
import pytest

from facever.faces import Face, quality_of
from facever.faces.quality import _POINTS, head_pose

from .conftest import face_at


def textured(level: float = 128, spread: float = 30, blur: float = 0.8) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(112, 112)), (0, 0), blur)
    grey = np.clip(level + spread * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return the landmarks of the model's face, seen from far away."""
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return 40 * (_POINTS @ (about_z @ about_x @ about_y).T)[:, :2] + 100


@pytest.mark.parametrize(
    "pose", [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 40), (20, 15, -30)]
)
def test_the_pose_of_a_rigid_face(pose: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(head_pose(turned(*pose)), pose, atol=1e-6)


def test_a_nose_to_the_left_is_a_head_turned_left() -> None:
    points = turned(0, 0, 0)
    points[2, 0] -= 8
    assert head_pose(points)[0] > 5
    points[2, 1] -= 8
    assert head_pose(points)[1] > 5


def test_a_good_face() -> None:
    judged = quality_of(face_at(0, 0), textured())
    assert judged.score > 90
    assert judged.reasons == ()


@pytest.mark.parametrize(
    ("face", "crop", "reason"),
    [
        (face_at(0, 0, score=0.55), textured(), "score 0.55"),
        (face_at(0, 0, side=36), textured(), "small"),
        (face_at(0, 0), textured(blur=9), "blurred"),
        (Face((0, 0, 90, 90), turned(65, 0, 0).astype(np.float32), 0.9), textured(), "yaw 65"),
        (face_at(0, 0), textured(level=12, spread=12), "too dark"),
        (face_at(0, 0), textured(level=250, spread=15), "too bright"),
        (face_at(0, 0), textured(spread=5), "contrast"),
    ],
)
def test_what_lowers_it(face: Face, crop: np.ndarray, reason: str) -> None:
    judged = quality_of(face, crop)
    assert judged.score < 60
    assert any(reason in one for one in judged.reasons), judged.reasons


def test_a_face_that_is_partly_outside() -> None:
    face = face_at(-56, 0)
    assert face.inside((112, 112)) == pytest.approx(0.5)
    assert face_at(10, 10).inside((200, 200)) == 1
    assert face_at(300, 300).inside((112, 112)) == 0
    judged = quality_of(face, textured(), inside=face.inside((112, 112)))
    assert judged.score < 30
    assert any("outside" in reason for reason in judged.reasons)
