"""The losses over logits that come in blocks, against PyTorch's own and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes.losses import CrossEntropy, Hardest, HingeSum, Loss, OneVsAll


def logits_and_labels(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    z = 5 * torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    return z.requires_grad_(), torch.randint(columns, (rows,), generator=draw)


def by_blocks(loss: Loss, z: Tensor, labels: Tensor, d_loss: float, size: int = 3):
    """Return the losses [B] and the gradient [B, C] of `d_loss` times each, block by block."""
    z = z.detach().clone()
    own = z.gather(1, labels[:, None])
    if not loss.with_own:
        z.scatter_(1, labels[:, None], -math.inf)
    blocks = z.split(size, 1)
    for block in blocks:
        loss.add(block)
    identities = z.new_tensor(z.shape[1])
    result = loss.result(loss.sums(loss.maximum()), own[:, 0], identities)
    upstream = torch.full_like(result[0], d_loss)
    slopes = torch.cat([loss.slope(block, upstream) for block in blocks], 1)
    return result[0], slopes.scatter_(1, labels[:, None], loss.own_slope(upstream)[:, None])


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(("rows", "columns", "size"), [(5, 7, 3), (3, 1000, 301), (1, 1, 1)])
def test_cross_entropy_is_that_of_pytorch(given, smoothing, rows, columns, size):
    z, labels = logits_and_labels(rows, columns)
    own = z.detach().gather(1, labels[:, None])[:, 0] if given else None
    wanted = F.cross_entropy(z, labels, label_smoothing=smoothing, reduction="none")
    for factor in (1.0, -3.0):  # an upstream gradient of either sign
        loss = CrossEntropy(z.detach()[:, 0], own, smoothing)
        losses, slopes = by_blocks(loss, z, labels, factor, size)
        torch.testing.assert_close(losses, wanted, rtol=1e-12, atol=1e-12)
        (expected,) = torch.autograd.grad(factor * wanted.sum(), z, retain_graph=True)
        torch.testing.assert_close(slopes, expected, rtol=1e-11, atol=1e-15)


def test_neither_large_logits_nor_small_losses_lose_precision():
    z = torch.tensor([[1e4, 1e4 - 12.0], [-1e4, -1e4 - 12.0]])
    losses, slopes = by_blocks(CrossEntropy(z[:, 0], None, 0.0), z, torch.tensor([0, 0]), 0.5)
    assert losses.mean().item() == pytest.approx(math.log1p(math.exp(-12)), rel=0.05)
    assert slopes[:, 1].tolist() == pytest.approx([math.exp(-12) / 2] * 2, rel=1e-5)


def test_a_saturated_softmax_has_no_denormal_gradient():
    z = -torch.arange(200.0)[None].repeat(4, 1)
    labels = torch.zeros(4, dtype=torch.int64)
    _, slopes = by_blocks(CrossEntropy(z[:, 0], None, 0.0), z, labels, 0.25)
    natural = torch.softmax(z.double(), 1)[0] / 4
    assert ((natural > 0) & (natural < 1e-38)).any()
    assert torch.equal(slopes[0] != 0, natural >= 1e-30)


def test_one_vs_all_is_that_of_binary_classifiers():
    z, labels = logits_and_labels(4, 7)
    own = z.detach().gather(1, labels[:, None])[:, 0]
    onehot = F.one_hot(labels, 7).double()
    costs = F.binary_cross_entropy_with_logits(z, onehot, reduction="none")
    wanted = (costs * (0.3 + 0.4 * onehot)).sum(1)
    losses, slopes = by_blocks(OneVsAll(own, 0.7), z, labels, -2.0)
    torch.testing.assert_close(losses, wanted, rtol=1e-12, atol=1e-12)
    (expected,) = torch.autograd.grad(-2 * wanted.sum(), z)
    torch.testing.assert_close(slopes, expected, rtol=1e-11, atol=1e-15)


def test_confident_classifiers_cost_what_they_should_and_leave_no_denormals():
    z = torch.tensor([[100.0, -95.0, 60.0], [-90.0, -60.0, -75.0]])
    losses, slopes = by_blocks(OneVsAll(z[:, 0], 0.7), z, torch.tensor([0, 0]), 0.5, size=2)
    assert losses.mean().item() == pytest.approx((0.3 * 60 + 0.7 * 90) / 2)
    expected = [0, 0, 0.15, -0.35, 0.15 * math.exp(-60), 0]
    for found, wanted in zip(slopes.flatten().tolist(), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=0)


def test_hinges_are_summed_and_counted():
    z, labels = logits_and_labels(4, 7)
    lowest = torch.linspace(-6, 6, 4, dtype=torch.float64).requires_grad_()
    wrong = ~F.one_hot(labels, 7).bool()
    wanted = ((z - lowest[:, None]).clamp_min(0) * wrong).sum(1)
    loss = HingeSum(lowest)
    losses, slopes = by_blocks(loss, z, labels, 2.0)
    torch.testing.assert_close(losses, wanted)
    expected = torch.autograd.grad(2 * wanted.sum(), [z, lowest])
    torch.testing.assert_close(slopes, expected[0])
    torch.testing.assert_close(loss.given_gradient(torch.full_like(lowest, 2.0)), expected[1])
    assert loss.sums(None)[1].tolist() == ((z > lowest[:, None]) & wrong).sum(1).tolist()


def test_the_hardest_is_one_of_the_wrong():
    z, labels = logits_and_labels(4, 7)
    with torch.no_grad():
        z[0, labels[0]] = 99.0
    wrong = z.masked_fill(F.one_hot(labels, 7).bool(), -math.inf)
    losses, slopes = by_blocks(Hardest(z.detach()[:, 0]), z, labels, 2.0)
    assert torch.equal(losses, wrong.amax(1))
    assert torch.equal(slopes, 2.0 * F.one_hot(wrong.argmax(1), 7))
    alone, _ = by_blocks(Hardest(torch.ones(1)), torch.ones(1, 1), torch.tensor([0]), 1.0)
    assert alone.item() == -math.inf
