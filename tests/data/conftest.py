"""What the tests of the data room share."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Paint = Callable[..., Path]


@pytest.fixture
def paint() -> Paint:
    """Write an image of noise, the same for the same seed, making its folder."""

    def paint(path: Path, seed: int = 0, size: tuple[int, int] = (8, 6)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)
        return path

    return paint
