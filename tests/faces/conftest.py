"""What tests of faces share: a detector of one's own, the real one, and real photos."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.faces import Face, YuNet, template

Photo = NDArray[np.uint8]


class Placed:
    """A detector that finds faces where it was told."""

    name, sha256 = "placed", None

    def __init__(self, *faces: Face) -> None:
        self.found = list(faces)

    def detect(self, photo: Photo) -> list[Face]:
        return self.found


def face_at(x: float, y: float, side: float = 112.0, score: float = 0.9, turn: int = 0) -> Face:
    """Return a frontal, upright face whose box is a square from x, y on."""
    points = template("arcface-112", 112) * side / 112 + [x, y]
    return Face((x, y, side, side), points.astype(np.float32), score, turn)


@pytest.fixture
def placed() -> Callable[..., Placed]:
    return Placed


@pytest.fixture(scope="session")
def yunet(real_models: None) -> YuNet:
    """The real detector, where it is on this machine."""
    return YuNet()


@pytest.fixture(scope="session")
def raw_photos(real_data: Path) -> dict[str, tuple[Path, NDArray[np.float64]]]:
    """By name: the photo, and the landmarks that its data set states, [5, 2]."""
    folder = real_data / "lfw" / "raw_sample"
    if not folder.is_dir():
        pytest.skip("FACEVER_DATA has no lfw/raw_sample")
    stated = json.loads((folder / "landmarks.json").read_text())
    return {
        name: (folder / name, np.array(numbers[:10]).reshape(5, 2))
        for name, numbers in stated.items()
    }
