"""Tiny models and made-up people for what joins images and galleries."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.data.preprocessing import Preprocessing
from facever.gallery.gallery import Gallery
from facever.models.embedder import Embedder, ModelConfig
from facever.models.extractor import Extractor
from facever.models.loading import load_model
from facever.models.saving import save_embedder
from facever.operating_point import OperatingPoint


def _save_model(path: Path, seed: int, metric: str = "cosine") -> Path:
    torch.manual_seed(seed)
    preprocessing = Preprocessing(size=(32, 32))
    embedder = Embedder(
        ModelConfig(backbone="test_resnet", embedding_size=16, preprocessing=preprocessing)
    )
    save_embedder(embedder.eval(), path, metric=metric)
    return path


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    return _save_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two untrained models."""
    folder = tmp_path_factory.mktemp("models")
    return [_save_model(folder / f"{seed}.safetensors", seed) for seed in range(2)]


@pytest.fixture(scope="module")
def model(models: list[Path]) -> Extractor:
    return load_model(models[0])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with three images each, and a broken one."""
    root, random = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for person in "abcd":
        (root / person).mkdir()
        pattern = random.integers(0, 255, (4, 4, 3))
        for shot in range(3):
            small = np.clip(pattern + random.normal(0, 20, pattern.shape), 0, 255)
            image = cv2.resize(small.astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(root / person / f"{shot}.png"), image)
    (root / "a" / "broken.jpg").write_text("no image")
    return root


@pytest.fixture
def gallery(model: Extractor, tmp_path: Path):
    with Gallery.create(tmp_path / "gallery", model) as made:
        yield made


@pytest.fixture
def make_point() -> Callable[..., OperatingPoint]:
    def make(extractor: Extractor, **changes: object) -> OperatingPoint:
        values: dict[str, object] = {
            "threshold": 0.99,
            "target_rate": 1e-2,
            "achieved_rate": 1e-2,
            "trials": {"genuine": 10, "impostor": 1000},
            "fingerprint": extractor.fingerprint,
        }
        return OperatingPoint.model_validate({**values, **changes})

    return make
