"""Fixtures that every room shares."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, where there is one."""
    folder = os.environ.get("FACEVER_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FACEVER_DATA does not name a folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def real_models() -> None:
    """Skip where the public models YuNet and SFace are not on this machine."""
    from facever.catalogue import path_of
    from facever.errors import ModelError

    try:
        for name in ("yunet", "sface"):
            path_of(name)
    except ModelError:
        pytest.skip("public models are not on this machine: set FACEVER_MODELS")


@pytest.fixture
def weights() -> np.ndarray:
    """float32 [3, 5]: what the small ONNX network multiplies the mean colour of an image by."""
    return np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture
def make_onnx(tmp_path: Path, weights: np.ndarray) -> Callable[..., Path]:
    """Return a function that writes a small ONNX network; see tests/onnx_files.py."""
    from tests.onnx_files import write_network

    def make(name: str = "small.onnx", *, channels: int = 3, **values: Any) -> Path:
        return write_network(tmp_path / name, weights[:channels], **values)

    return make


@pytest.fixture
def coloured(tmp_path: Path) -> list[Path]:
    """Eleven image files of several sizes, in a folder for each of three people."""
    import cv2

    random = np.random.default_rng(1)
    paths = [tmp_path / "images" / f"p{i % 3}" / f"{i}.png" for i in range(11)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (20 + i, 30 - i, 3), dtype=np.uint8))
    return paths
