"""What the training's batches take from its configuration."""

from collections.abc import Callable

import pytest
import torch

from facever.data.sources import load
from facever.training.batches import make_batches
from facever.training.config import TrainConfig


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_are_pinned_for_a_training_on_a_gpu(
    device: str, make_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = make_config()
    batches = make_batches(config, load(config.data.root), torch.device(device))
    assert batches._loader is not None
    assert batches._loader.pin_memory is (device == "cuda")
