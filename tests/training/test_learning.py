"""What training is for: a network beats raw pixels on people it has never seen."""

from pathlib import Path

import numpy as np
import pytest

from facever.config import parse
from facever.data.decode import decode
from facever.data.split import split
from facever.data.synthesize import synthesize
from facever.evaluate import verification
from facever.models.loading import load_model
from facever.training.config import TrainConfig
from facever.training.train import train


@pytest.mark.slow
def test_a_trained_network_beats_raw_pixels(tmp_path: Path) -> None:
    people = split(synthesize(tmp_path / "faces", 110, 8, size=32), {"train": 0.55, "test": 0.45})
    people.save(tmp_path / "people.csv")
    config = parse(
        TrainConfig,
        {
            "data": {
                "root": str(tmp_path / "people.csv"),
                "train": {"subset": "train"},
                "development_share": 0,
            },
            "model": {
                "backbone": "resnet10t",
                "embedding_size": 64,
                "preprocessing": {"size": [32, 32]},
            },
            "heads": [{"name": "cosface", "scale": 16, "margin": 0.2}],
            "batch": {"size": 48},
            "epochs": 12,
            "tensorboard": False,
            "device": "cpu",
            "workers": 0,
        },
    )
    run = train(config, tmp_path / "run")
    test = people.where(subset="test")
    learned = load_model(run.path).extract(test, tmp_path / "embeddings", workers=0)
    pixels = np.stack([decode(test.locate(i)).ravel() for i in range(len(test))]).astype(float)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)

    raw = verification(pixels, test.frame["identity"], far=[0.01])
    network = verification(learned.vectors, learned.identities, far=[0.01])
    assert raw.auc.value < 0.75
    assert network.auc.value > raw.auc.value + 0.08
    assert network.at(0.01).interval.low > raw.at(0.01).interval.high
