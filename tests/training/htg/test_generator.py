"""The generator's layers against a loop, and what its last activation allows."""

import numpy as np
import pytest
import torch

from facever.errors import ConfigError
from facever.training.htg.generator import Generator
from facever.training.htg.normalization import BatchNorm


def make(size: int = 8, last: str = "relu") -> Generator:
    torch.manual_seed(0)
    generator = Generator(size, last).double()
    for part in generator.modules():
        if isinstance(part, BatchNorm):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias)
    return generator


def offset(generator: Generator, x: np.ndarray, relu_at_the_end: bool) -> np.ndarray:
    parts = [part for part in generator.modules() if isinstance(part, torch.nn.Linear | BatchNorm)]
    assert len(parts) == 8
    for place in range(0, 8, 2):
        linear, norm = parts[place], parts[place + 1]
        x = x @ linear.weight.detach().numpy().T
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
        x = x * norm.weight.detach().numpy() + norm.bias.detach().numpy()
        if place < 6 or relu_at_the_end:
            x = np.maximum(x, 0)
    return x


@pytest.mark.parametrize("last", ["relu", "none"])
def test_it_adds_four_layers_to_its_input(last: str) -> None:
    generator = make(last=last)
    x = torch.randn(6, 8, dtype=torch.float64)
    wanted = x.numpy() + offset(generator, x.numpy(), last == "relu")
    np.testing.assert_allclose(generator(x).detach().numpy(), wanted, rtol=1e-9)


def test_two_layers_reduce_and_two_expand() -> None:
    widths = [
        tuple(part.weight.shape)[::-1]
        for part in Generator(10).modules()
        if isinstance(part, torch.nn.Linear)
    ]
    assert widths == [(10, 5), (5, 2), (2, 5), (5, 10)]


def test_with_relu_it_never_lowers_a_coordinate() -> None:
    x = torch.randn(50, 8, dtype=torch.float64)
    raised = make()(x) - x
    assert raised.min() >= 0
    assert raised.max() > 0.1
    assert (make(last="none")(x) - x).min() < -0.1


def test_gradients() -> None:
    generator = make(size=4, last="none")
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator, (x,))


def test_autocast_does_not_reach_it() -> None:
    generator = make().float()
    x = torch.randn(6, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = generator(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, generator(x))


def test_too_small_an_embedding_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        Generator(3)
    assert str(error.value) == (
        "adversarial training needs embeddings of 4 components or more, not 3: set "
        "model.embedding_size"
    )


def test_it_can_start_as_the_identity_and_learns() -> None:
    generator = Generator(8, "none", "identity")
    x = torch.randn(6, 8)
    assert torch.equal(generator(x), x)
    generator(x).square().sum().backward()
    norms = [part for part in generator.modules() if isinstance(part, BatchNorm)]
    assert norms[-1].weight.grad.abs().min() > 0
    assert torch.equal(norms[0].weight, torch.ones(4))
