"""A tiny data set with a test part, its configuration, and one bake-off of two heads."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.studies.bakeoff import BakeoffResult, bakeoff, read_configs
from facever.training.config import TrainConfig

CONFIG = """
data: {{root: {root}, train: {{subset: train}}, development: {{subset: development}}}}
model: {{backbone: test_resnet, embedding_size: 8, preprocessing: {{size: [32, 32]}}}}
heads: [{{name: cosine}}]
augmentation: null
batch: {{size: 8}}
epochs: 2
device: cpu
workers: 0
log_every: 1
tensorboard: false
"""

HEADS = ("softmax", "cosface:scale=16,margin=0.2")


@pytest.fixture(autouse=True)
def no_real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEVER_DATA", raising=False)


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 12 identities x 4 images: 5 to train, 3 for choices, 4 to judge."""
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    rows = []
    for identity in range(12):
        pattern = random.integers(0, 255, (4, 4, 3))
        subset = "train" if identity < 5 else "development" if identity < 8 else "test"
        for shot in range(4):
            small = np.clip(pattern + random.normal(0, 30, pattern.shape), 0, 255)
            image = cv2.resize(small.astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
            path = f"{identity}_{shot}.png"
            cv2.imwrite(str(root / path), image)
            rows.append((path, f"p{identity:02d}", subset, shot % 2))
    frame = pd.DataFrame(rows, columns=["path", "identity", "subset", "camera"])
    Manifest.from_frame(frame, root, "tiny").save(root / "tiny.csv")
    return root / "tiny.csv"


@pytest.fixture(scope="session")
def config_file(listed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(CONFIG.format(root=listed))
    return path


@pytest.fixture(scope="session")
def configs(config_file: Path) -> Callable[..., dict[str, TrainConfig]]:
    def make(*heads: str, changes: tuple[str, ...] = ()) -> dict[str, TrainConfig]:
        return read_configs(config_file, changes, heads or HEADS)

    return make


@pytest.fixture(scope="session")
def done(
    configs: Callable[..., dict[str, TrainConfig]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BakeoffResult]:
    """Two heads, two seeds."""
    folder = tmp_path_factory.mktemp("bakeoff")
    return folder, bakeoff(configs(), folder, ["subset=test"], seeds=2, far=[0.05, 1e-4])
