import numpy as np
import pytest

from facever.embeddings.distances import SAME_SPACE, distances_of
from facever.errors import DataError


def test_of_known_angles() -> None:
    angles = np.array([0.0, 1e-4, 1e-3, np.pi / 2, np.pi])
    first = np.tile([[2.0, 0.0]], (5, 1))
    second = 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = distances_of(first, second)
    each = [distances_of(first[[i]], second[[i]]).largest for i in range(5)]
    np.testing.assert_allclose(each, 2 * np.sin(angles / 2) ** 2, rtol=1e-9, atol=1e-30)
    assert (found.images, found.largest) == (5, pytest.approx(2))
    assert found.mean == pytest.approx(np.mean(1 - np.cos(angles)))
    assert found.lengths == pytest.approx(0.5)


def test_distances_below_the_rounding_of_a_cosine() -> None:
    first = np.eye(64, dtype=np.float64)
    second = first + 1e-10
    assert distances_of(first, second).largest == pytest.approx(63 * 1e-20 / 2, rel=1e-3)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_limit_of_one_space(factor: float) -> None:
    angle = 2 * np.arcsin(np.sqrt(SAME_SPACE * factor / 2))
    found = distances_of(np.array([[1.0, 0.0]]), np.array([[np.cos(angle), np.sin(angle)]]))
    assert found.one_space == (factor < 1)


def test_lengths_of_unit_vectors_say_nothing() -> None:
    assert distances_of(np.array([[5.0, 0]]), np.array([[1.0, 0]])).lengths is None


@pytest.mark.parametrize(
    "second", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones((2, 4)), np.ones((1, 3))]
)
def test_what_cannot_be_compared(second: np.ndarray) -> None:
    with pytest.raises(DataError):
        distances_of(np.ones((2, 3)), second)
    with pytest.raises(DataError):
        distances_of(np.ones((0, 3)), np.ones((0, 3)))
