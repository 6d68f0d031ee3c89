from collections.abc import Callable

import pytest
import torch

from facever.config import parse
from facever.models import Embedder, ModelConfig


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
