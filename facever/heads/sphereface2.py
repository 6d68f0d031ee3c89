"""SphereFace2: one binary classifier for each identity."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.heads.base import Head, HeadConfig, HeadOutput
from facever.heads.classes.scores import cosine_scores
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.margin import GRADIENT, Gradient, cosine_stats, straight_through
from facever.heads.registry import register


@register
class SphereFace2(Head):
    """Each identity against all others, without a sum over identities under a logarithm.

    L = lw/r [a softplus(-(r (g(cos_y) - m) + b)) + (1 - a) sum_{j != y} softplus(r (g(cos_j) + m)
    + b)], the mean over the batch, where g(z) = 2 ((z + 1) / 2)^t - 1 spreads the cosines and one
    learned b, not decayed, shifts all boundaries. At its start the gradients of the own and the
    wrong identities are equal where all cosines are 0. lw / r is the authors' code's; lw = r gives
    the formula without a factor.

    `gradient: authors` has the same values up to rounding; g has the derivative 1, as in the
    authors' code, which computes g where no gradient is recorded. The exact one is
    t ((z + 1) / 2)^(t - 1): for t = 3 it is 0.75 at z = 0 and 3 at z = 1.

    Reference:
        Wen et al., SphereFace2: Binary Classification is All You Need for Deep Face Recognition,
        ICLR 2022, section 3. The start of b in closed form is our derivation.
    """

    class Config(HeadConfig):
        """Parameters of `sphereface2`."""

        name: Literal["sphereface2"] = "sphereface2"
        own_share: float = Field(
            0.7, gt=0, lt=1, description="a, share of the own identity; the others have 1 - a"
        )
        scale: float = Field(40.0, gt=0, le=500, description="r, factor of g")
        margin: float = Field(0.4, ge=0, lt=1, description="m, on both sides of the boundary")
        exponent: float = Field(3.0, ge=1, le=10, description="t of g; 1: cosines unchanged")
        loss_factor: float = Field(50.0, gt=0, description="lw: the loss is multiplied by lw / r")
        gradient: Gradient = GRADIENT

    arrangeable = True
    paper = "Wen et al., SphereFace2, ICLR 2022, section 3"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)
        self.bias = nn.Parameter(torch.tensor(balanced_bias(config, identities)))

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean loss of the classifiers."""
        r, m, t = self.config.scale, self.config.margin, self.config.exponent
        rows = self.prototypes.rows(labels)
        scores = cosine_scores(rows, embeddings, bend=self._bend, shift=self.bias)
        spread = 2 * ((scores.target + 1) / 2).clamp_min(0) ** t - 1
        if self.config.gradient == "authors":
            spread = straight_through(scores.target, spread)
        own = r * (spread - m)
        sums = scores.one_vs_all_loss(own, self.config.own_share)
        loss = self.config.loss_factor / r * sums
        stats = cosine_stats(scores, embeddings, self.identities)
        stats |= {"scale": loss.new_tensor(r), "bias": self.bias.detach().clone()}
        return HeadOutput(loss, stats)

    def no_weight_decay(self) -> set[str]:
        """Return the name of the bias."""
        return {"bias"}

    def _bend(self, _: Tensor) -> Callable[[Tensor], Tensor]:
        """Return how cosines become r (g + m)."""
        r, m, t = self.config.scale, self.config.margin, self.config.exponent
        exact = self.config.gradient == "exact"

        def change(z: Tensor) -> Tensor:
            half = z.add_(1).mul_(0.5).clamp_min_(0)
            power = half ** (t - 1)
            half.mul_(power).mul_(2 * r).add_(r * (m - 1))
            return power.mul_(r * t) if exact else power.fill_(r)

        return change


def balanced_bias(config: SphereFace2.Config, identities: int) -> float:
    """Return the b at which the gradients of own and wrong identities are equal at cosines of 0.

    With z = a / ((1 - a) (C - 1)), k = e^(r m) and u = e^(b + r g(0)) that is
    u^2 + k (1 - z) u - z = 0, whose positive root is sqrt(z) e^-asinh(k (1 - z) / (2 sqrt(z))).
    """
    z = config.own_share / ((1 - config.own_share) * max(identities - 1, 1))
    k = math.exp(config.scale * config.margin)
    g = 2 * math.pow(0.5, config.exponent) - 1
    root = math.sqrt(z)
    return math.log(root) - math.asinh(k * (1 - z) / (2 * root)) - config.scale * g
