"""The losses over logits, against PyTorch's own and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from facever.heads.classes.losses import softmax_loss


def logits_and_labels(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    z = 5 * torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    return z.requires_grad_(), torch.randint(columns, (rows,), generator=draw)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("rows", "columns"), [(5, 7), (3, 150_000), (1, 1)]
)  # 150,000: three blocks
def test_value_and_gradient_are_those_of_pytorch(smoothing, rows, columns):
    z, labels = logits_and_labels(rows, columns)
    ours = softmax_loss(z, labels, smoothing)
    wanted = F.cross_entropy(z, labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)
    for factor in (1.0, -3.0):  # twice backward, and an upstream gradient of either sign
        (found,) = torch.autograd.grad(factor * ours, z, retain_graph=True)
        (expected,) = torch.autograd.grad(factor * wanted, z, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-15)


def test_neither_large_logits_nor_small_losses_lose_precision():
    z = torch.tensor([[1e4, 1e4 - 12.0], [-1e4, -1e4 - 12.0]], requires_grad=True)
    loss = softmax_loss(z, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log1p(math.exp(-12)), rel=0.05)
    assert z.grad[:, 1].tolist() == pytest.approx([math.exp(-12) / 2] * 2, rel=1e-5)


def test_a_saturated_softmax_has_no_denormal_gradient():
    z = -torch.arange(200.0)[None].repeat(4, 1).requires_grad_()
    z.retain_grad()
    softmax_loss(z, torch.zeros(4, dtype=torch.int64)).backward()
    natural = torch.softmax(z.detach().double(), 1)[0] / 4
    assert ((natural > 0) & (natural < 1e-38)).any()
    assert torch.equal(z.grad[0] != 0, natural >= 1e-30)
