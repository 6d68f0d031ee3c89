"""Scores of embeddings with prototypes, and losses of them, against plain autograd."""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes import comparison
from facever.heads.classes.scores import cosine_scores, dot_scores
from facever.heads.classes.vectors import Prototypes, normalize

LABELS = torch.tensor([0, 1, 1, 4, 4, 2, 3])

Blocks = Callable[[int], None]


@pytest.fixture
def blocks_of(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Make blocks of so many identities."""

    def of(size: int) -> None:
        def blocks(rows: int, _width: int, _device: torch.device) -> Iterator[slice]:
            return (slice(start, min(start + size, rows)) for start in range(0, rows, size))

        monkeypatch.setattr(comparison, "blocks", blocks)

    return of


def prototypes_and_images(identities: int = 6) -> tuple[Prototypes, Tensor]:
    torch.manual_seed(0)
    prototypes = Prototypes(identities, 4).hold().double()
    return prototypes, torch.randn(7, 4, dtype=torch.float64, requires_grad=True)


def cross_entropy(wrong: Tensor, own: Tensor, smoothing: float = 0.0) -> Tensor:
    onehot = F.one_hot(LABELS, wrong.shape[1]).bool()
    logits = torch.where(onehot, own[:, None], wrong)
    return F.cross_entropy(logits, LABELS, label_smoothing=smoothing)


def assert_the_same(ours: Tensor, wanted: Tensor, inputs: list[Tensor]) -> None:
    """Compare values, and gradients twice: those of a graph that is retained, too."""
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-14)
    gradients = torch.autograd.grad(wanted, inputs)
    for again in (True, False):
        found = torch.autograd.grad(ours, inputs, retain_graph=again)
        for a, b in zip(found, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [6, 4, 1])
@pytest.mark.parametrize("per_row", [False, True])
def test_a_changed_target(blocks_of: Blocks, per_row: bool, size: int) -> None:
    blocks_of(size)
    prototypes, x = prototypes_and_images()
    factor = torch.rand(7, dtype=torch.float64) + 2 if per_row else torch.tensor(3.0).double()
    scale = factor.requires_grad_()
    scores = cosine_scores(prototypes.rows(LABELS), x, scale)
    ours = scores.softmax_loss(scale * (scores.target**3 - 0.2))
    cosines = normalize(x) @ normalize(prototypes.weight).T
    own = scale * (cosines.gather(1, LABELS[:, None])[:, 0] ** 3 - 0.2)
    wanted = cross_entropy((scale[:, None] if per_row else scale) * cosines, own)
    assert_the_same(ours, wanted, [x, prototypes.weight, scale])


@pytest.mark.parametrize("size", [6, 4, 1])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dot_products(blocks_of: Blocks, smoothing: float, biased: bool, size: int) -> None:
    blocks_of(size)
    prototypes, x = prototypes_and_images()
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True) if biased else None
    inputs = [x, prototypes.weight, *([] if bias is None else [bias])]
    ours = dot_scores(prototypes.rows(LABELS), x, bias).softmax_loss(label_smoothing=smoothing)
    logits = F.linear(x, prototypes.weight, bias)
    wanted = F.cross_entropy(logits, LABELS, label_smoothing=smoothing)
    assert_the_same(ours, wanted, inputs)


def lift(target: Tensor) -> Callable[[Tensor], Tensor]:
    """Make cos_j^3 + cos_y of scaled cosines; cos_y has no gradient.

    -inf, which is in the place of the own cosine, becomes finite.
    """

    def change(block: Tensor) -> Tensor:
        slope = 3 * block.clamp_min_(-2).square()
        block.pow_(3).add_(target[:, None])
        return slope

    return change


@pytest.mark.parametrize("size", [6, 4, 1])
def test_bent_similarities(blocks_of: Blocks, size: int) -> None:
    blocks_of(size)
    prototypes, x = prototypes_and_images()
    scores = cosine_scores(prototypes.rows(LABELS), x, 2.0, lift)
    ours = scores.softmax_loss(2 * scores.target)
    cosines = normalize(x) @ normalize(prototypes.weight).T
    own = cosines.gather(1, LABELS[:, None])[:, 0]
    wrong = 8 * cosines**3 + 2 * own.detach()[:, None]
    assert_the_same(ours, cross_entropy(wrong, 2 * own), [x, prototypes.weight])


@pytest.mark.parametrize("size", [6, 4, 1])
def test_classifiers_with_a_common_shift(blocks_of: Blocks, size: int) -> None:
    blocks_of(size)
    prototypes, x = prototypes_and_images()
    shift = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    scores = cosine_scores(prototypes.rows(LABELS), x, bend=lift, shift=shift)
    ours = scores.one_vs_all_loss(5 * scores.target, 0.6)
    cosines = normalize(x) @ normalize(prototypes.weight).T
    own = cosines.gather(1, LABELS[:, None])[:, 0]
    onehot = F.one_hot(LABELS, 6).double()
    z = torch.where(onehot > 0, 5 * own[:, None], cosines**3 + own.detach()[:, None]) + shift
    costs = F.binary_cross_entropy_with_logits(z, onehot, reduction="none")
    wanted = (costs * (0.4 + 0.2 * onehot)).sum(1).mean()
    assert_the_same(ours, wanted, [x, prototypes.weight, shift])


def test_the_own_identity_is_out_of_reach_of_a_bend(blocks_of: Blocks) -> None:
    blocks_of(2)
    seen: list[Tensor] = []

    def turn_round(_: Tensor) -> Callable[[Tensor], Tensor]:
        def change(block: Tensor) -> Tensor:
            seen.append(block.clone())
            return torch.full_like(block.neg_(), -1.0)

        return change

    prototypes, x = prototypes_and_images(5)
    scores = cosine_scores(prototypes.rows(LABELS), x, bend=turn_round)
    scores.softmax_loss(scores.target)
    own = F.one_hot(LABELS, 5).bool()
    wrong = torch.cat(seen, 1)
    assert torch.equal(wrong == -torch.inf, own)
    assert torch.equal(scores.hardest, wrong.amax(1))


@pytest.mark.parametrize("hardest_only", [False, True])
def test_a_part_without_gradient(hardest_only: bool) -> None:
    prototypes, x = prototypes_and_images()
    limit = torch.full((7,), 2.0, dtype=torch.float64)
    prototypes.weight.requires_grad_(False)
    cosine_scores(prototypes.rows(LABELS), x).hinges(limit, hardest_only)[0].sum().backward()
    assert x.grad.abs().sum() > 0
    prototypes.weight.requires_grad_(True)
    scores = cosine_scores(prototypes.rows(LABELS), x.detach())
    scores.hinges(limit, hardest_only)[0].sum().backward()
    assert prototypes.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [4, 2])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_hardest_wrong_identity_is_never_the_own(
    blocks_of: Blocks, size: int, scale: float
) -> None:
    blocks_of(size)
    prototypes = Prototypes(4, 3).hold()
    with torch.no_grad():
        prototypes.weight.zero_()[:, :2] = torch.tensor([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]])
    x, labels = torch.zeros(3, 3), torch.tensor([0, 0, 3])
    x[:, :2] = torch.tensor([[5.0, 0], [0, 5], [-1, 0]])
    scores = cosine_scores(prototypes.rows(labels), x, scale)
    scores.softmax_loss(scores.target)
    assert scores.hardest.tolist() == pytest.approx([0.6, 1, 0], abs=1e-5)
    assert scores.target.tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert scores.prototype_norm.item() == pytest.approx(1, abs=1e-5)
    products = dot_scores(prototypes.rows(labels), x)
    products.softmax_loss()
    assert products.hardest.tolist() == pytest.approx([3, 5, 0])
    assert products.target.tolist() == pytest.approx([5, 0, 1])
    alone = cosine_scores(Prototypes(1, 3).hold().rows(torch.tensor([0])), torch.ones(1, 3))
    alone.softmax_loss(alone.target)
    assert alone.hardest.item() == -torch.inf


def test_a_choice_of_rows_with_shifts(blocks_of: Blocks) -> None:
    blocks_of(2)
    prototypes, x = prototypes_and_images()
    chosen, places = torch.tensor([0, 1, 2, 3, 4]), LABELS
    shift = torch.tensor([0.5, -torch.inf, 0.0, 1.0, -1.0], dtype=torch.float64)
    rows = prototypes.rows(LABELS).only(chosen, places)
    scores = cosine_scores(rows, x, 4.0, shift=shift)
    ours = scores.softmax_loss(4 * scores.target)
    cosines = 4 * normalize(x) @ normalize(prototypes.weight[:5]).T
    own = cosines.gather(1, LABELS[:, None])[:, 0]
    assert_the_same(ours, cross_entropy(cosines + shift, own), [x, prototypes.weight])
