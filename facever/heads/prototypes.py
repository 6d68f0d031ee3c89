"""Prototypes: one vector per identity, and how a batch is compared with all of them.

Every [B, C] matrix costs a pass over memory, so the similarities are functions with their own
gradient: the prototypes are never copied into normalised form (the similarities are divided by the
norms instead), and the target similarity comes out as a vector of its own, so that a margin on it
costs B operations, not B x C.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-6
"""Added to the squared length of a vector before its root (NormFace)."""

SMALLEST_GRADIENT = 1e-30
"""Gradients of logits below this are set to zero: as denormals they slow every product down."""


class Similarities(NamedTuple):
    """How alike B embeddings and C prototypes are.

    Attributes:
        values: [B, C]. Consumed by `with_target`, which writes into it.
        target: [B], the similarity of each embedding to its own prototype.
        norms: [C], length of each prototype, detached.
    """

    values: Tensor
    target: Tensor
    norms: Tensor


class Prototypes(nn.Module):
    """One trainable vector per identity, of length 1 on average at the start."""

    def __init__(self, identities: int, embedding_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(identities, embedding_size))
        nn.init.normal_(self.weight, std=embedding_size**-0.5)

    def cosine(self, embeddings: Tensor, labels: Tensor) -> Similarities:
        """Return the cosines between embeddings [B, D] and all prototypes."""
        unit = normalize(embeddings)
        weight = self.weight.to(unit.dtype)
        return Similarities(*_Cosine.apply(unit, weight, labels))  # type: ignore[no-untyped-call]


def normalize(vectors: Tensor) -> Tensor:
    """Return rows x / sqrt(|x|^2 + 1e-6): length 1, and a bounded gradient at zero.

    Reference:
        Wang et al., NormFace, MM 2017, section 3.2.
    """
    return vectors / (vectors.square().sum(1, keepdim=True) + EPSILON).sqrt()


def hardest_wrong(similarities: Similarities, labels: Tensor) -> Tensor:
    """Return [B], detached: the largest similarity to another identity; -inf where there is none.

    Writes into `similarities.values` at the targets, which `with_target` replaces anyway.
    """
    values = similarities.values.detach()
    values.scatter_(1, labels[:, None], -torch.inf)
    return values.amax(1)


def with_target(
    similarities: Similarities, target: Tensor, labels: Tensor, scale: Tensor | float
) -> Tensor:
    """Return logits: `scale` times the similarities, with `scale * target` at the labels.

    Args:
        similarities: Their `values` are overwritten by the logits.
        target: [B], what takes the place of the target similarity.
        labels: int64 [B].
        scale: A number, or a scalar tensor that may be learned.
    """
    values = similarities.values
    logits: Tensor = _WithTarget.apply(values, scale * target, labels, scale)  # type: ignore[no-untyped-call]
    return logits


class _Cosine(torch.autograd.Function):
    """cos = x~ . W_j / |W_j|, without a normalised copy of W."""

    @staticmethod
    def forward(
        ctx: Any, unit: Tensor, weight: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        norms = torch.linalg.vector_norm(weight, dim=1).square_().add_(EPSILON).sqrt_()
        values = (unit @ weight.T).div_(norms)
        target = values.gather(1, labels[:, None])[:, 0]
        ctx.save_for_backward(unit, weight, labels, norms)
        ctx.mark_non_differentiable(norms)
        return values, target, norms

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        d_values: Tensor,
        d_target: Tensor,
        _: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, None]:
        unit, weight, labels, norms = ctx.saved_tensors
        d_product = d_values / norms
        d_product.scatter_add_(1, labels[:, None], (d_target / norms[labels])[:, None])
        d_unit = d_product @ weight if ctx.needs_input_grad[0] else None
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = d_product.T @ unit
            del d_product
            _drop_along(d_weight, weight, norms)
        return d_unit, d_weight, None


def _drop_along(gradient: Tensor, weight: Tensor, norms: Tensor) -> None:
    """Take from each row of the gradient, in place, its part along the prototype.

    In pieces: on a CPU they stay in its cache, elsewhere they bound the memory taken.
    """
    elements = 2**18 if weight.device.type == "cpu" else 2**26
    rows = max(1, elements // weight.shape[1])
    for start in range(0, len(weight), rows):
        g, w, n = (tensor[start : start + rows] for tensor in (gradient, weight, norms))
        along = (g * w).sum(1).div_(n.square())
        g.addcmul_(w, along[:, None], value=-1)


class _WithTarget(torch.autograd.Function):
    """Scale the similarities in place and put the target logits at the labels."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, target: Tensor, labels: Tensor, scale: Tensor | float
    ) -> Tensor:
        logits = values.mul_(scale).scatter_(1, labels[:, None], target[:, None])
        ctx.mark_dirty(logits)
        ctx.learned = isinstance(scale, Tensor)
        ctx.scale = None if ctx.learned else scale
        ctx.save_for_backward(labels, *((scale, logits) if isinstance(scale, Tensor) else ()))
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor) -> tuple[Tensor, Tensor, None, Tensor | None]:
        labels, *learned = ctx.saved_tensors
        scale = learned[0] if learned else ctx.scale
        d_target = d_logits.gather(1, labels[:, None])[:, 0]
        d_values = (d_logits * scale).scatter_(1, labels[:, None], 0.0)
        d_scale = (d_values * learned[1]).sum() / scale.square() if learned else None
        return d_values, d_target, None, d_scale
