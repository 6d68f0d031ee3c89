"""BatchNorm against PyTorch's own, and frozen; tests/training has that of two processes."""

import pytest
import torch
from torch import Tensor, nn

from facever.core.seeding import stream
from facever.errors import TrainingError
from facever.training.htg.normalization import BatchNorm, frozen

SIZE = 3


def given() -> tuple[Tensor, Tensor]:
    random = stream(0, "batch-norm")
    return tuple(torch.from_numpy(random.normal(5, 2, (7, SIZE))) for _ in range(2))


def make(kind: type[nn.BatchNorm1d] = BatchNorm) -> nn.BatchNorm1d:
    norm = kind(SIZE).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    return norm


def results(norm: nn.BatchNorm1d) -> dict[str, Tensor]:
    """Return output, gradients and buffers of two batches."""
    outputs = []
    for batch, wanted in zip(given(), reversed(given()), strict=True):
        x = batch.clone().requires_grad_()
        output = norm(x)
        (output * wanted).sin().sum().backward()
        outputs += [output.detach(), x.grad]
    gradients = [norm.weight.grad, norm.bias.grad]
    assert all(gradient is not None for gradient in gradients)
    names = ("output", "input gradient", "second output", "second input gradient")
    return {
        **dict(zip(names, outputs, strict=True)),
        "weight gradient": norm.weight.grad,
        "bias gradient": norm.bias.grad,
        **{name: buffer.clone() for name, buffer in norm.named_buffers()},
    }


def agree(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12, msg=name)


def test_alone_it_is_that_of_pytorch() -> None:
    agree(results(make()), results(make(nn.BatchNorm1d)))
    ours, theirs = make(), make(nn.BatchNorm1d)
    for norm in (ours, theirs):
        norm(given()[0])
        norm.eval()
    assert torch.equal(ours(given()[1]), theirs(given()[1]))


def test_frozen_normalises_by_the_batch_and_remembers_nothing() -> None:
    norm, x = make(), given()[0].requires_grad_()
    wanted = norm(x).detach()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with frozen(norm):
        output = norm(x)
        output.sin().sum().backward()
    assert torch.equal(output, wanted)
    assert x.grad is not None
    assert x.grad.abs().max() > 1e-3
    assert norm.weight.grad is None
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert norm.weight.requires_grad
    assert not norm.frozen


def test_frozen_leaves_frozen_what_was() -> None:
    norm = make()
    norm.bias.requires_grad_(False)
    with frozen(norm):
        with frozen(norm):
            pass
        assert norm.frozen
        assert not norm.weight.requires_grad
    assert norm.weight.requires_grad
    assert not norm.bias.requires_grad


def test_one_feature_is_refused() -> None:
    with pytest.raises(TrainingError) as error:
        make()(given()[0][:1])
    assert str(error.value) == (
        "BatchNorm of the generator and the discriminator cannot train on one feature: take "
        "batches of two images or more"
    )
    make().eval()(given()[0][:1])
