from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from facever.config import parse
from facever.data.manifest import Manifest
from facever.models import Embedder, ModelConfig, save_embedder


@pytest.fixture
def make_embedder() -> Callable[..., Embedder]:
    """Make a small Embedder with weights and statistics that are no longer the initial ones."""

    def make(**values: object) -> Embedder:
        torch.manual_seed(5)
        defaults = {
            "backbone": "test_resnet",
            "embedding_size": 8,
            "preprocessing": {"size": 32, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]},
        }
        embedder = Embedder(parse(ModelConfig, defaults | values))
        with torch.no_grad():
            embedder.train()(torch.randn(4, 3, 32, 32))
        return embedder.eval()

    return make


@pytest.fixture
def images() -> torch.Tensor:
    """uint8 [4, 3, 32, 32]."""
    return torch.randint(
        0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a small model whose BatchNorm has seen data."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": [24, 32]}}
    embedder = Embedder(parse(ModelConfig, config))
    with torch.no_grad():
        embedder(torch.randint(0, 256, (8, 3, 24, 32), dtype=torch.uint8))
    save_embedder(embedder, folder / "model.safetensors", metric="dot")
    people = pd.DataFrame({"identity": ["x"], "dataset": ["faces"], "images": [2]})
    people.to_parquet(folder / "identities.parquet")
    return folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Ten noise images of three identities, the fourth and the last unreadable."""
    folder = tmp_path_factory.mktemp("faces")
    draw = np.random.default_rng(0)
    for i in range(10):
        path = folder / f"p{i * 3 // 10}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), draw.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8))
    for i in (3, 9):
        next(folder.glob(f"*/{i}.png")).write_text("not an image")
    return Manifest.from_folder(folder)
