"""The functions with their own gradients, against plain autograd."""

import pytest
import torch
from torch import Tensor

from facever.heads.prototypes import (
    EPSILON,
    Prototypes,
    Similarities,
    hardest_wrong,
    normalize,
    with_target,
)


def plain(x: Tensor, W: Tensor, labels: Tensor, margin: float, scale: Tensor) -> Tensor:
    """The same logits in the obvious way."""
    lengths = [(v.square().sum(1, keepdim=True) + EPSILON).sqrt() for v in (x, W)]
    cosines = (x / lengths[0]) @ (W / lengths[1]).T
    own = torch.nn.functional.one_hot(labels, len(W)).bool()
    return scale * torch.where(own, cosines**3 - margin, cosines)


@pytest.mark.parametrize(("identities", "size"), [(6, 4), (5, 2**17)])  # one piece, and three
def test_logits_and_gradients_are_those_of_the_obvious_way(identities, size):
    torch.manual_seed(0)
    prototypes = Prototypes(identities, size).double()
    x = torch.randn(7, size, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 1, 4, 4, 2, 3])
    inputs = [x, prototypes.weight, scale]
    upstream = torch.randn(7, identities, dtype=torch.float64)

    similarities = prototypes.cosine(x, labels)
    ours = with_target(similarities, similarities.target**3 - 0.2, labels, scale)
    wanted = plain(x, prototypes.weight, labels, 0.2, scale)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)
    for a, b in zip(
        torch.autograd.grad((ours * upstream).sum(), inputs, retain_graph=True),
        torch.autograd.grad((wanted * upstream).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    again = torch.autograd.grad((ours * upstream).sum(), inputs)[0]
    torch.testing.assert_close(
        again,
        torch.autograd.grad(
            (plain(*[x, prototypes.weight, labels, 0.2, scale]) * upstream).sum(), x
        )[0],
    )


def test_frozen_prototypes_and_detached_embeddings_work():
    prototypes = Prototypes(4, 3)
    x, labels = torch.randn(2, 3, requires_grad=True), torch.tensor([3, 0])
    prototypes.weight.requires_grad_(False)
    prototypes.cosine(x, labels).values.sum().backward()
    assert x.grad is not None
    prototypes.weight.requires_grad_(True)
    prototypes.cosine(x.detach(), labels).values.sum().backward()
    assert prototypes.weight.grad is not None


def test_the_hardest_wrong_identity_is_never_the_own():
    values = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.8, -0.4]])
    labels = torch.tensor([0, 2])
    similarities = Similarities(values.clone(), values.gather(1, labels[:, None])[:, 0], values[0])
    assert hardest_wrong(similarities, labels).tolist() == pytest.approx([0.5, 0.8])
    alone = Similarities(torch.ones(1, 1), torch.ones(1), torch.ones(1))
    assert hardest_wrong(alone, torch.tensor([0])).item() == -torch.inf


def test_prototypes_start_at_length_one_on_average():
    torch.manual_seed(0)
    assert Prototypes(2000, 64).weight.norm(dim=1).mean().item() == pytest.approx(1, abs=0.02)


def test_normalize_is_safe_at_zero():
    x = torch.zeros(1, 3, requires_grad=True)
    normalize(x).sum().backward()
    assert x.grad.abs().max().item() == pytest.approx(EPSILON**-0.5)
