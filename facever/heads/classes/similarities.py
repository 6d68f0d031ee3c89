"""What a logit is made from: a formula of an embedding and a prototype, with its gradients.

Each works on a batch and a block of prototypes; none makes a tensor [B, c, D].
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes.losses import SMALLEST_GRADIENT
from facever.heads.classes.vectors import lengths

FARTHEST = 64.0
"""Largest d^2 / gamma: K is 2e-28 there, and its gradient would soon be a denormal of float32."""


class Similarity(ABC):
    """A formula z(x, w); shapes: x [B, D], w [c, D], lengths of w [c], bias [c] or None."""

    def lengths(self, weight: Tensor) -> Tensor:
        """Return the lengths [c] of prototypes, as the formula takes them."""
        norms: Tensor = torch.linalg.vector_norm(weight, dim=1)
        return norms

    def own(self, x: Tensor, weight: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return z [B] of row i of x with row i of the prototypes [B, D].

        None, unless a head can change it: own similarities are then taken from the blocks.
        """
        return None

    @abstractmethod
    def block(self, x: Tensor, weight: Tensor, norms: Tensor, bias: Tensor | None) -> Tensor:
        """Return z [B, c]."""

    @abstractmethod
    def add_gradients(
        self,
        d_z: Tensor,
        z: Tensor,
        x: Tensor,
        weight: Tensor,
        norms: Tensor,
        d_x: Tensor,
        d_weight: Tensor,
    ) -> None:
        """Add the gradients of x to `d_x` and write those of the prototypes into `d_weight`.

        Args:
            d_z: [B, c], gradients of z; they may be overwritten.
            z: [B, c].
            x: [B, D].
            weight: [c, D].
            norms: [c], its `lengths`.
            d_x: [B, D].
            d_weight: [c, D].
        """

    def watched(self, weight: Tensor, norms: Tensor) -> Tensor:  # noqa: ARG002
        """Return sums [W] over a block of prototypes, for statistics: first of their lengths."""
        return norms.sum()[None]


class CosineSimilarity(Similarity):
    """x . w / |w|; x has been normalised and scaled before."""

    def lengths(self, weight: Tensor) -> Tensor:
        """See Similarity; as NormFace has them."""
        return lengths(weight)

    def own(self, x: Tensor, weight: Tensor) -> Tensor:
        """See Similarity."""
        return (x * weight).sum(1) / lengths(weight)

    def block(self, x: Tensor, weight: Tensor, norms: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return torch.mm(x, weight.T).div_(norms)

    def add_gradients(
        self,
        d_z: Tensor,
        z: Tensor,  # noqa: ARG002
        x: Tensor,
        weight: Tensor,
        norms: Tensor,
        d_x: Tensor,
        d_weight: Tensor,
    ) -> None:
        """See Similarity."""
        d_product = d_z.div_(norms)
        d_x.addmm_(d_product, weight)
        torch.mm(d_product.T, x, out=d_weight)
        along = (d_weight * weight).sum(1).div_(norms.square())
        d_weight.addcmul_(weight, along[:, None], value=-1)


class DotSimilarity(Similarity):
    """x . w + b."""

    def block(self, x: Tensor, weight: Tensor, norms: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        return F.linear(x, weight, bias)

    def add_gradients(
        self,
        d_z: Tensor,
        z: Tensor,  # noqa: ARG002
        x: Tensor,
        weight: Tensor,
        norms: Tensor,  # noqa: ARG002
        d_x: Tensor,
        d_weight: Tensor,
    ) -> None:
        """See Similarity."""
        d_x.addmm_(d_z, weight)
        torch.mm(d_z.T, x, out=d_weight)


class KernelSimilarity(Similarity):
    """s exp(-|x - w|^2 / gamma); see the head `rbf`.

    With g = 2 dL/dz z / gamma: dL/dx = g W - x sum_j g, and dL/dW = g^T x - W sum_i g.

    Args:
        scale: s.
        gamma: 0-d, without gradient.
    """

    def __init__(self, scale: float, gamma: Tensor) -> None:
        self.scale, self.gamma = scale, gamma

    def block(self, x: Tensor, weight: Tensor, norms: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ARG002
        """See Similarity."""
        squares = squared_distances(x, weight)
        return squares.div_(-self.gamma).clamp_min_(-FARTHEST).exp_().mul_(self.scale)

    def add_gradients(
        self,
        d_z: Tensor,
        z: Tensor,
        x: Tensor,
        weight: Tensor,
        norms: Tensor,  # noqa: ARG002
        d_x: Tensor,
        d_weight: Tensor,
    ) -> None:
        """See Similarity."""
        g = F.hardshrink(d_z.mul_(z).mul_(2 / self.gamma), SMALLEST_GRADIENT)
        d_x.addmm_(g, weight).addcmul_(x, g.sum(1, keepdim=True), value=-1)
        torch.mul(weight, -g.sum(0)[:, None], out=d_weight).addmm_(g.T, x)

    def watched(self, weight: Tensor, norms: Tensor) -> Tensor:
        """See Similarity: lengths, squared lengths, and the prototypes themselves [D]."""
        return torch.cat([norms.sum()[None], norms.square().sum()[None], weight.sum(0)])


def squared_distances(x: Tensor, weight: Tensor) -> Tensor:
    """Return |x_i - W_j|^2 [B, C] as |x|^2 + |W|^2 - 2 x.W; never below 0, never [B, C, D]."""
    products = torch.addmm(weight.square().sum(1), x, weight.T, alpha=-2)
    return products.add_(x.square().sum(1)[:, None]).clamp_min_(0)
