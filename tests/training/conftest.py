"""A tiny data set and configuration on which a training takes a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facever.config import parse
from facever.training.config import TrainConfig


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 10 identities x 5 images of 32 px: a pattern of its own for each, and noise."""
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for identity in range(10):
        folder = root / f"person_{identity:02d}"
        folder.mkdir()
        pattern = random.integers(0, 255, (4, 4, 3))
        for shot in range(5):
            small = np.clip(pattern + random.normal(0, 30, pattern.shape), 0, 255)
            image = cv2.resize(small.astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{shot}.png"), image)
    return root


MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def make_config(people: Path) -> MakeConfig:
    """Return a function that makes a small configuration, with changes."""

    def make(**changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "data": {"root": str(people), "development_share": 0.3},
            "model": {
                "backbone": "test_resnet",
                "embedding_size": 16,
                "dropout": 0.2,
                "preprocessing": {"size": [32, 32]},
            },
            "heads": [{"name": "cosface", "scale": 16}],
            "batch": {"size": 8},
            "optimizer": {"lr": 0.003},
            "schedule": {"warmup_epochs": 0.5},
            "epochs": 3,
            "ema_decay": 0.9,
            "device": "cpu",
            "workers": 0,
            "log_every": 2,
            "tensorboard": False,
        }
        return parse(TrainConfig, {**values, **changes})

    return make
