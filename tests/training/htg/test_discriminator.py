"""The discriminator's layers against a loop."""

import numpy as np
import torch

from facever.training.htg.discriminator import Discriminator
from facever.training.htg.normalization import BatchNorm


def test_three_hidden_layers_and_k_plus_1_logits() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(6, 10).double()
    parts = [
        part for part in discriminator.modules() if isinstance(part, torch.nn.Linear | BatchNorm)
    ]
    kinds = [type(part) for part in parts]
    assert kinds == [*[torch.nn.Linear, BatchNorm] * 3, torch.nn.Linear]
    given = torch.randn(5, 6, dtype=torch.float64)
    x = given.numpy()
    for linear in parts[0:6:2]:
        x = x @ linear.weight.detach().numpy().T
        x = np.maximum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 0)
    x = x @ parts[6].weight.detach().numpy().T + parts[6].bias.detach().numpy()
    assert x.shape == (5, 11)
    np.testing.assert_allclose(discriminator(given).detach().numpy(), x, rtol=1e-9)


def test_autocast_does_not_reach_it() -> None:
    discriminator, x = Discriminator(6, 3), torch.randn(5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = discriminator(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, discriminator(x))
