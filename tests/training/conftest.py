"""A tiny data set and configuration on which a training takes a second."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.core.run_folder import read_metrics
from facever.data.loading import Batch
from facever.training.computing.parallel import Agreement
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.trainer import Trainer


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


VOLATILE = {"images_per_s", "data_wait_percent", "update_seconds", "seconds"}


def _figures(run: Run) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name not in VOLATILE}
        for line in read_metrics(run.metrics)
    ]


def _assert_same(one: Any, other: Any, where: str = "") -> None:
    """Compare nested states bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            _assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            _assert_same(*pair, f"{where}.{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def _interrupt_before(trainer: Trainer, number: int, by: int = signal.SIGTERM) -> None:
    """Send this process a signal while update `number` runs."""
    update = trainer.step.update

    def interrupted(
        batches: Sequence[Batch], update_number: int, agreement: Agreement
    ) -> dict[str, torch.Tensor]:
        if update_number == number:
            os.kill(os.getpid(), by)
        return update(batches, update_number, agreement)

    trainer.step.update = interrupted  # type: ignore[method-assign]


@pytest.fixture
def figures() -> Callable[[Run], list[dict[str, Any]]]:
    """Return the function that reads a run's metrics without what differs from time to time."""
    return _figures


@pytest.fixture
def assert_same() -> Callable[[Any, Any], None]:
    """Return the function that compares nested states bit for bit."""
    return _assert_same


@pytest.fixture
def interrupt_before() -> Callable[..., None]:
    """Return the function that makes a trainer be interrupted in one of its updates."""
    return _interrupt_before
