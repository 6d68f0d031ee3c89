"""Alignment against closed forms and a slow optimiser."""

import cv2
import numpy as np
import pytest
from scipy.optimize import minimize

from facever.errors import DataError
from facever.faces import align, similarity_transform, template

RANDOM = np.random.default_rng(0)


def rotation(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 180.0, -135.0])
def test_an_exact_similarity_is_found(degrees: float) -> None:
    source = RANDOM.normal(size=(5, 2)) * 20 + 50
    moved = 1.7 * source @ rotation(degrees).T + [3.0, -8.0]
    found = similarity_transform(source, moved)
    np.testing.assert_allclose(found[:, :2], 1.7 * rotation(degrees), atol=1e-9)
    np.testing.assert_allclose(found[:, 2], [3.0, -8.0], atol=1e-8)


def test_the_least_squares_of_noisy_points() -> None:
    source = RANDOM.normal(size=(5, 2)) * 20
    target = 0.6 * source @ rotation(20).T + 5 + RANDOM.normal(size=(5, 2))

    def loss(p: np.ndarray) -> float:
        matrix = np.array([[p[0], -p[1]], [p[1], p[0]]])
        return float(((source @ matrix.T + p[2:] - target) ** 2).sum())

    best = minimize(loss, np.array([1.0, 0, 0, 0]), method="BFGS", options={"gtol": 1e-10}).x
    found = similarity_transform(source, target)
    np.testing.assert_allclose(
        found, [[best[0], -best[1], best[2]], [best[1], best[0], best[3]]], atol=1e-5
    )


def test_it_never_mirrors() -> None:
    source = RANDOM.normal(size=(5, 2))
    found = similarity_transform(source, source * [-1, 1])
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_cannot_be_aligned(points: np.ndarray) -> None:
    with pytest.raises(DataError, match="landmarks"):
        similarity_transform(points, template("arcface-112", 112))


def test_the_template_at_other_sizes() -> None:
    base = template("arcface-112", 112)
    np.testing.assert_allclose(base[0], [38.2946, 51.6963])
    np.testing.assert_allclose(template("arcface-112", 224), (base + 0.5) * 2 - 0.5)
    wide = template("arcface-112", (112, 160))
    np.testing.assert_allclose(wide, base + np.array([24, 0]))
    with pytest.raises(DataError, match=r"alignment 'arcfac'.*arcface-112"):
        template("arcfac", 112)


@pytest.mark.parametrize("size", [112, 56, 224])
def test_landmarks_come_to_lie_on_the_template(size: int) -> None:
    photo = np.zeros((300, 400, 3), np.uint8)
    points = (template("arcface-112", 112) - 56) * 1.3 @ rotation(25).T + [200, 150]
    for x, y in points:
        cv2.circle(photo, (round(x), round(y)), 3, (255, 255, 255), -1)
    crop = align(photo, points, size)
    assert crop.shape == (size, size, 3)
    for x, y in template("arcface-112", size):
        assert crop[round(y), round(x), 0] > 128
    assert (crop[..., 0] > 128).mean() < 0.05


def test_what_lies_outside_is_black() -> None:
    photo = np.full((112, 112, 3), 200, np.uint8)
    crop = align(photo, template("arcface-112", 112) + np.array([0, -56]))
    assert (crop[:50] == 0).all()
    assert (crop[60:] == 200).all()
