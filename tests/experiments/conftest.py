"""The experiments' modules, and small data to run them on."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

TOOLS = Path(__file__).parents[2] / "tools" / "experiments"


SMALL = [
    "data.layout=table", "data.train={subset: train}", "model.backbone=test_resnet",
    "model.backbone_options={}", "model.embedding_size=8", "model.preprocessing.size=[32, 32]",
    "batch={size: 16, images_per_identity: 4}", "epochs=2", "device=cpu", "augmentation=null",
    "log_every=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def tools():
    """The experiment's modules, which import one another by their plain names."""
    sys.path.insert(0, str(TOOLS))
    try:
        names = ("htg", "htg_players", "htg_trial", "judged", "learning", "records", "tables")
        modules = {name: importlib.import_module(name) for name in names}
        return SimpleNamespace(**modules, folder=TOOLS, small=SMALL)
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A table of 8 people to train on and 13 others, 5 images each."""
    root = tmp_path_factory.mktemp("faces")
    random = np.random.default_rng(0)
    rows = []
    for person in range(21):
        pattern = random.integers(0, 255, (4, 4, 3))
        for shot in range(5):
            small = np.clip(pattern + random.normal(0, 40, pattern.shape), 0, 255)
            name = f"{person:02d}_{shot}.png"
            cv2.imwrite(str(root / name), cv2.resize(small.astype(np.uint8), (32, 32)))
            rows.append((name, f"p{person:02d}", "train" if person < 8 else "test"))
    frame = pd.DataFrame(rows, columns=["path", "identity", "subset"])
    frame.to_csv(root / "faces.csv", index=False)
    return root / "faces.csv"
