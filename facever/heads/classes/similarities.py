"""What a logit is made from, an identity's prototype at a time or a block of them, with gradients.

Each similarity is the same formula three times over: of each image with its own identity [B], of a
batch with a block of identities [B, c], and the gradients of both. None makes a [B, c, D].
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes.losses import SMALLEST_GRADIENT
from facever.heads.classes.vectors import lengths

FARTHEST = 64.0
"""Largest d^2 / gamma: K is 2e-28 there, and its gradient would soon be a denormal of float32."""


class Gradients(NamedTuple):
    """Of a loss with respect to embeddings [B, D], prototypes [c, D] and, if any, biases [c]."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None


class Similarity(ABC):
    """A formula z(x, w); shapes: x [B, D], w [c, D], bias [c] or None."""

    @abstractmethod
    def own(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return z [B] of row i of x with row i of the prototypes, [B, D], and of the biases."""

    @abstractmethod
    def own_gradients(self, d_own: Tensor, own: Tensor, x: Tensor, weight: Tensor) -> Gradients:
        """Return the gradients, row by row, from those of `own` [B]."""

    @abstractmethod
    def block(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return z [B, c]."""

    @abstractmethod
    def gradients(self, d_z: Tensor, z: Tensor, x: Tensor, weight: Tensor) -> Gradients:
        """Return the gradients from those of z, which it may write into; z is finite."""

    def watched(self, weight: Tensor) -> Tensor:
        """Return [W] sums over a block of prototypes, by which to watch: first of their lengths."""
        norms: Tensor = torch.linalg.vector_norm(weight, dim=1)
        return norms.sum()[None]


class Cosine(Similarity):
    """x . w / |w|; x has been normalised and scaled before."""

    def own(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return (x * weight).sum(1) / lengths(weight)

    def own_gradients(self, d_own: Tensor, own: Tensor, x: Tensor, weight: Tensor) -> Gradients:
        """See Similarity."""
        norms = lengths(weight)[:, None]
        share = d_own[:, None] / norms
        return Gradients(share * weight, share * (x - own[:, None] / norms * weight), None)

    def block(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return torch.mm(x, weight.T).div_(lengths(weight))

    def gradients(self, d_z: Tensor, z: Tensor, x: Tensor, weight: Tensor) -> Gradients:  # noqa: ARG002
        """See Similarity."""
        norms = lengths(weight)
        d_product = d_z.div_(norms)
        d_weight = torch.mm(d_product.T, x)
        along = (d_weight * weight).sum(1).div_(norms.square_())
        return Gradients(
            torch.mm(d_product, weight), d_weight.addcmul_(weight, along[:, None], value=-1), None
        )

    def watched(self, weight: Tensor) -> Tensor:
        """See Similarity."""
        return lengths(weight).sum()[None]


class Dot(Similarity):
    """x . w + b."""

    def own(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See Similarity."""
        product = (x * weight).sum(1)
        return product if bias is None else product + bias

    def own_gradients(self, d_own: Tensor, own: Tensor, x: Tensor, weight: Tensor) -> Gradients:  # noqa: ARG002
        """See Similarity."""
        return Gradients(d_own[:, None] * weight, d_own[:, None] * x, d_own)

    def block(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See Similarity."""
        return F.linear(x, weight, bias)

    def gradients(self, d_z: Tensor, z: Tensor, x: Tensor, weight: Tensor) -> Gradients:  # noqa: ARG002
        """See Similarity."""
        return Gradients(torch.mm(d_z, weight), torch.mm(d_z.T, x), d_z.sum(0))


class Kernel(Similarity):
    """s exp(-|x - w|^2 / gamma); see the head `rbf`.

    Args:
        scale: s.
        gamma: 0-d, without gradient.
    """

    def __init__(self, scale: float, gamma: Tensor) -> None:
        self.scale, self.gamma = scale, gamma

    def own(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return self._of((x - weight).square().sum(1))

    def own_gradients(self, d_own: Tensor, own: Tensor, x: Tensor, weight: Tensor) -> Gradients:
        """See Similarity."""
        g = (d_own * own * (2 / self.gamma))[:, None]
        return Gradients(g * (weight - x), g * (x - weight), None)

    def block(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return self._of(squared_distances(x, weight))

    def gradients(self, d_z: Tensor, z: Tensor, x: Tensor, weight: Tensor) -> Gradients:
        """See Similarity."""
        g = F.hardshrink(d_z.mul_(z).mul_(2 / self.gamma), SMALLEST_GRADIENT)
        d_x = torch.mm(g, weight).addcmul_(x, g.sum(1, keepdim=True), value=-1)
        d_weight = torch.mm(g.T, x).addcmul_(weight, g.sum(0)[:, None], value=-1)
        return Gradients(d_x, d_weight, None)

    def watched(self, weight: Tensor) -> Tensor:
        """See Similarity: lengths, squared lengths, and the prototypes themselves [D]."""
        norms = torch.linalg.vector_norm(weight, dim=1)
        return torch.cat([norms.sum()[None], norms.square().sum()[None], weight.sum(0)])

    def _of(self, squares: Tensor) -> Tensor:
        return squares.div_(-self.gamma).clamp_min_(-FARTHEST).exp_().mul_(self.scale)


def squared_distances(x: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """Return |x_i - W_j|^2 [B, C] as |x|^2 + |W|^2 - 2 x.W; never below 0, never [B, C, D]."""
    products = torch.addmm(weight.square().sum(1), x, weight.T, alpha=-2, out=out)
    return products.add_(x.square().sum(1)[:, None]).clamp_min_(0)
