"""A gallery of made-up people, made and asked by commands."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.gallery import Gallery
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.loading import load_model
from facever.operating_point import OperatingPoint
from facever.recognizer import Recognizer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two untrained models."""
    folder, paths = tmp_path_factory.mktemp("models"), []
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    for seed in range(2):
        torch.manual_seed(seed)
        paths.append(folder / f"{seed}.safetensors")
        save_embedder(Embedder(parse(ModelConfig, config)), paths[-1], metric="cosine")
    return paths


@pytest.fixture(scope="module")
def model(models: list[Path]) -> Path:
    return models[0]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with two images each, one more unreadable."""
    root, draw = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for i in range(6):
        path = root / "abc"[i // 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), draw.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    (root / "c" / "6.png").write_text("no image")
    return root


@pytest.fixture(scope="module")
def made(model: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the people, to copy."""
    folder, extractor = tmp_path_factory.mktemp("made") / "gallery", load_model(model)
    with Gallery.create(folder, extractor) as gallery:
        Recognizer(extractor, gallery).enroll(people)
    return folder


@pytest.fixture
def gallery(made: Path, tmp_path: Path) -> Path:
    """A gallery of six images of three people."""
    return Path(shutil.copytree(made, tmp_path / "gallery"))


@pytest.fixture
def save_point(model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write an operating point of the model."""

    def save(name: str, threshold: float, **changes: object) -> Path:
        values = {
            "threshold": threshold,
            "target_rate": 1e-3,
            "achieved_rate": 1e-3,
            "trials": {"genuine": 10, "impostor": 1000},
            "fingerprint": load_model(model).fingerprint,
            "dataset": "toy",
        }
        path = tmp_path / f"{name}.json"
        OperatingPoint.model_validate({**values, **changes}).save(path)
        return path

    return save


@pytest.fixture
def save_calibration(model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a calibration of the model: a cosine of 1 is e^5 times likelier of one person."""

    def save(name: str, **changes: object) -> Path:
        values: dict[str, object] = {
            "method": "logistic",
            "scores": [0, 1],
            "llrs": [0, 5],
            "prior": 0.5,
            "trials": {"genuine": 10, "impostor": 1000},
            "fingerprint": load_model(model).fingerprint,
            "dataset": "toy",
        }
        if changes.get("kind") == "1:N":
            changes = {"score_rule": "max", "gallery_size": 3, **changes}
        path = tmp_path / f"{name}.json"
        ScoreCalibration.model_validate({**values, **changes}).save(path)
        return path

    return save
