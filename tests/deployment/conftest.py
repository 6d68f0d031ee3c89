from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from facever.config import parse
from facever.data.manifest import Manifest
from facever.data.synthesize import synthesize
from facever.models import Embedder, ModelConfig, load_embedder, save_embedder
from facever.models.extractor import extraction_fingerprint
from facever.operating_point import Interval, OperatingPoint, TrialCounts

SIZE = (32, 40)
PEOPLE = ("Ada Lovelace", "José Pérez", "Eve Polastri")  # long: weights do not hold them by chance


def small_embedder(**values: object) -> Embedder:
    """Return a small Embedder whose BatchNorm has seen data."""
    torch.manual_seed(5)
    defaults: dict[str, object] = {
        "backbone": "test_resnet",
        "embedding_size": 8,
        "preprocessing": {"size": list(SIZE), "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]},
    }
    embedder = Embedder(parse(ModelConfig, defaults | values))
    size = embedder.preprocessing.size
    with torch.no_grad():
        embedder.train()(torch.randint(0, 256, (8, 3, *size), dtype=torch.uint8))
    return embedder.eval()


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backbones of these tests may be imported for a model file."""
    monkeypatch.setenv("FACEVER_IMPORTS", "tests.deployment.backbones")


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a run folder: weights, people and an operating point."""

    def make(**values: object) -> Path:  # with a backbone of these tests: in a test
        folder = tmp_path_factory.mktemp("run")
        save_embedder(small_embedder(**values), folder / "model.safetensors", metric="cosine")
        people = {"identity": list(PEOPLE), "dataset": "faces", "images": 2}
        people["use"] = ["train", "train", "development"]  # type: ignore[assignment]
        pd.DataFrame(people).to_parquet(folder / "identities.parquet")
        _, card = load_embedder(folder)
        OperatingPoint(
            threshold=0.5,
            target_rate=0.01,
            achieved_rate=0.01,
            interval=Interval(low=0.001, high=0.05, method="by hand"),
            trials=TrialCounts(genuine=10, impostor=100),
            dataset="faces",
            fingerprint=extraction_fingerprint(card.model_hash),
        ).save(folder / "operating_point.json")
        return folder

    return make


@pytest.fixture(scope="session")
def run(make_run: Callable[..., Path]) -> Path:
    return make_run()


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twenty generated images of five people, 64 pixels."""
    folder = tmp_path_factory.mktemp("people") / "faces"
    synthesize(folder, 5, 4)
    return Manifest.from_folder(folder)


@pytest.fixture
def pixels() -> np.ndarray:
    """uint8 [17, H, W, 3]."""
    return np.random.default_rng(2).integers(0, 256, (17, *SIZE, 3), dtype=np.uint8)
