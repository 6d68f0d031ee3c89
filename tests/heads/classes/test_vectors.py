"""The functions with their own gradients, against plain autograd."""

import pytest
import torch
from torch import Tensor

from facever.heads.classes.vectors import (
    EPSILON,
    Prototypes,
    blocks,
    normalize,
    with_target,
)


def plain(x: Tensor, W: Tensor, labels: Tensor, margin: float, scale: Tensor) -> Tensor:
    """The same logits in the obvious way."""
    lengths = [(v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, W)]
    cosines = (x / lengths[0]) @ (W / lengths[1]).T
    own = torch.nn.functional.one_hot(labels, len(W)).bool()
    return scale * torch.where(own, cosines**3 - margin, cosines)


@pytest.mark.parametrize(("identities", "size"), [(6, 4), (5, 2**17)])  # one block, and three
@pytest.mark.parametrize("per_row", [False, True])
def test_logits_and_gradients_are_those_of_the_obvious_way(identities, size, per_row):
    torch.manual_seed(0)
    prototypes = Prototypes(identities, size).hold().double()
    x = torch.randn(7, size, dtype=torch.float64, requires_grad=True)
    factor = torch.rand(7, dtype=torch.float64) + 2 if per_row else torch.tensor(3.0).double()
    scale = factor.requires_grad_()
    labels = torch.tensor([0, 1, 1, 4, 4, 2, 3])
    inputs = [x, prototypes.weight, scale]
    upstream = torch.randn(7, identities, dtype=torch.float64)

    similarities = prototypes.cosine(x, labels, scale)
    ours = with_target(similarities, scale * (similarities.target**3 - 0.2), labels)
    wanted = plain(x, prototypes.weight, labels, 0.2, scale[:, None] if per_row else scale)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)
    gradients = torch.autograd.grad((wanted * upstream).sum(), inputs)
    for again in (True, False):
        found = torch.autograd.grad((ours * upstream).sum(), inputs, retain_graph=again)
        for a, b in zip(found, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [4, 2**17])
def test_bent_similarities(size):
    torch.manual_seed(0)
    prototypes = Prototypes(5, size).hold().double()
    x = torch.randn(3, size, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([4, 0, 2])
    inputs = [x, prototypes.weight]
    upstream = torch.randn(3, 5, dtype=torch.float64)

    def lift(target: Tensor):  # 2 (cos_j^3 + cos_y) of scaled cosines; cos_y detached
        def change(block: Tensor) -> Tensor:
            slope = 3 * block.square()
            block.pow_(3).add_(target[:, None])
            return slope

        return change

    similarities = prototypes.cosine(x, labels, 2.0, lift)
    ours = with_target(similarities, 2 * similarities.target, labels)
    cosines = normalize(x) @ normalize(prototypes.weight).T
    own = torch.nn.functional.one_hot(labels, 5).bool()
    target = cosines[own].detach()[:, None]
    wanted = torch.where(own, 2 * cosines, 8 * cosines**3 + 2 * target)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)
    for a, b in zip(
        torch.autograd.grad((ours * upstream).sum(), inputs),
        torch.autograd.grad((wanted * upstream).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_own_identity_is_out_of_reach_of_a_bend():
    def turn_round(_: Tensor):
        return lambda block: torch.full_like(block.neg_(), -1.0)

    found = Prototypes(3, 4).hold().cosine(torch.ones(2, 4), torch.tensor([2, 0]), bend=turn_round)
    own = torch.tensor([[False, False, True], [True, False, False]])
    assert torch.equal(found.wrong == -torch.inf, own)
    assert found.wrong[~own].isfinite().all()
    assert found.hardest.tolist() == pytest.approx((-found.wrong[~own]).view(2, 2).amax(1).tolist())


def test_frozen_prototypes_and_detached_embeddings_work():
    prototypes = Prototypes(4, 3).hold()
    x, labels = torch.randn(2, 3, requires_grad=True), torch.tensor([3, 0])
    prototypes.weight.requires_grad_(False)
    prototypes.cosine(x, labels).target.sum().backward()
    assert x.grad is not None
    prototypes.weight.requires_grad_(True)
    prototypes.cosine(x.detach(), labels).target.sum().backward()
    assert prototypes.weight.grad is not None


@pytest.mark.parametrize("size", [3, 2**17])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_hardest_wrong_identity_is_never_the_own(size, scale):
    prototypes = Prototypes(4, size).hold()
    with torch.no_grad():
        prototypes.weight.zero_()[:, :2] = torch.tensor([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]])
    x, labels = torch.zeros(3, size), torch.tensor([0, 0, 3])
    x[:, :2] = torch.tensor([[5.0, 0], [0, 5], [-1, 0]])
    found = prototypes.cosine(x, labels, scale)
    assert found.hardest.tolist() == pytest.approx([0.6, 1, 0], abs=1e-5)
    assert found.target.tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert found.norms.tolist() == pytest.approx([1, 1, 1, 1], abs=1e-5)
    own = torch.nn.functional.one_hot(labels, 4).bool()
    assert torch.equal(found.wrong == -torch.inf, own)
    alone = Prototypes(1, size).hold().cosine(torch.ones(1, size), torch.tensor([0]))
    assert alone.hardest.item() == -torch.inf


def test_blocks_cover_every_row_once():
    cpu = torch.device("cpu")
    for rows, width in ((10, 2**18), (10, 2**20), (1000, 2**10), (7, 3)):
        parts = list(blocks(rows, width, cpu))
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
        assert len(parts) == -(-rows // max(1, 2**18 // width))
    assert len(list(blocks(100_000, 512, torch.device("cuda")))) == 1


def test_prototypes_start_at_length_one_on_average():
    torch.manual_seed(0)
    weight = Prototypes(2000, 64).hold().weight
    assert weight.norm(dim=1).mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("bound", [None, 0.5])
@pytest.mark.parametrize("held", [(0, 11), (0, 4), (3, 6), (8, 3), (11, 0)])
def test_prototypes_have_the_same_values_in_whosever_memory_they_are(monkeypatch, bound, held):
    torch.manual_seed(0)
    whole = Prototypes(11, 32, bound).hold().weight
    after = torch.rand(1)
    first, count = held
    monkeypatch.setattr("facever.heads.classes.vectors._DRAWN_AT_ONCE", 4)  # 4, 4 and 3
    torch.manual_seed(0)
    part = Prototypes(11, 32, bound).hold(first, count)
    assert torch.equal(torch.rand(1), after)
    assert part.first == first
    assert torch.equal(part.weight, whole[first : first + count])


def test_normalize_is_safe_at_zero():
    x = torch.zeros(1, 3, requires_grad=True)
    normalize(x).sum().backward()
    assert x.grad.abs().max().item() == pytest.approx(EPSILON**-0.5)
