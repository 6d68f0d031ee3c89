"""A-Softmax: a margin that multiplies the target angle."""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from facever.heads.base import HeadConfig, HeadOutput
from facever.heads.classes.vectors import EPSILON
from facever.heads.common.bounds import warn_below
from facever.heads.common.history import HeadHistory
from facever.heads.common.margin import CosineSoftmaxHead, straight_through
from facever.heads.registry import register

DEFAULT_MARGIN = {"annealed": 4.0, "stable": 1.7}
LEAST_LAMBDA = 10.0
"""Lambda at the start below which a training rarely converges."""


@register
class ASoftmax(CosineSoftmaxHead):
    """Cross-entropy of |x| cos_j with |x| psi(theta_y) at the target, annealed; or its stable form.

    psi(t) = (-1)^k cos(m t) - 2k for t in [k pi / m, (k + 1) pi / m] falls from 1 at 0.

    `annealed`: the paper's. m is whole, cos(m t) a Chebyshev polynomial of cos t, and the target
    |x| (lambda cos t + psi(t)) / (1 + lambda), where lambda falls from `lambda_base` to
    `lambda_min`: max(lambda_min, lambda_base (1 + lambda_gamma it)^-lambda_power) after `it`
    optimizer steps. `it` is in the state dict.

    `stable`: s takes the place of |x|, m is any real number, and the margin psi(t) - cos t has no
    gradient: the gradient of the target is that of its cosine.

    Reference:
        Liu et al., SphereFace: Deep Hypersphere Embedding for Face Recognition, CVPR 2017, section
        3; lambda as in the authors' code. The stable form: Liu et al., SphereFace Revived: Unifying
        Hyperspherical Face Recognition, TPAMI 2022.
    """

    class Config(HeadConfig):
        """Parameters of `asoftmax`."""

        name: Literal["asoftmax"] = "asoftmax"
        variant: Literal["annealed", "stable"] = Field(
            "annealed", description="as published; or normalised, with a detached margin"
        )
        margin: float | None = Field(
            None,
            ge=1,
            le=5,
            description="m, factor of the target angle; annealed: whole, 4 unless given; stable: "
            "real, 1.7 unless given",
        )
        scale: float = Field(
            30.0, gt=0, description="stable: s, factor of the cosines; 64 for millions of images"
        )
        lambda_base: float = Field(1000.0, ge=0, description="annealed: lambda at the start")
        lambda_gamma: float = Field(0.12, ge=0, description="annealed: speed of lambda's fall")
        lambda_power: float = Field(1.0, ge=0, description="annealed: power of lambda's fall")
        lambda_min: float = Field(5.0, ge=0, description="annealed: lambda at the end")

        @model_validator(mode="after")
        def _of_one_variant(self) -> "ASoftmax.Config":
            annealed = self.variant == "annealed"
            if annealed and self.margin is not None and self.margin != round(self.margin):
                raise ValueError(
                    f"the annealed variant takes a margin of 1, 2, 3, 4 or 5, not {self.margin:g}"
                )
            fields = type(self).model_fields
            for key in fields:
                foreign = key == "scale" if annealed else key.startswith("lambda_")
                if foreign and getattr(self, key) != fields[key].default:
                    raise ValueError(f"the {self.variant} variant has no {key}")
            return self

    paper = "Liu et al., SphereFace, CVPR 2017, section 3; stable: SphereFace Revived, TPAMI 2022"
    config: Config
    iteration: Tensor

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.margin = DEFAULT_MARGIN[config.variant] if config.margin is None else config.margin
        if config.variant == "stable":
            warn_below(self.name, config.scale, identities)
        else:
            self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    @property
    def scale(self) -> float:
        """The factor of the cosines in the stable variant."""
        return self.config.scale

    def annealing(self, dtype: torch.dtype) -> Tensor:
        """Return lambda, 0-d: the weight of the target without a margin."""
        c = self.config
        steps = self.iteration.to(dtype)
        falling = c.lambda_base * (1 + c.lambda_gamma * steps) ** -c.lambda_power
        return falling.clamp_min(c.lambda_min)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy with psi, or a part of it, at the target."""
        if self.config.variant == "stable":
            return self.compare(embeddings, labels, self.change_target)
        length = (embeddings.square().sum(1) + EPSILON).sqrt()
        lambda_ = self.annealing(embeddings.dtype)
        output = self.compare(
            embeddings,
            labels,
            lambda cosine: (lambda_ * cosine + psi(cosine, int(self.margin))) / (1 + lambda_),
            scale=length,
        )
        output.stats["annealing"] = lambda_
        return output

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return psi with the gradient of the cosine."""
        return straight_through(cosine, detached_psi(cosine, self.margin))

    def own_alarms(self, figures: HeadHistory) -> dict[str, str]:
        """Report a training that begins with nearly the whole margin."""
        begin = figures.first("annealing")
        if begin is None or begin >= LEAST_LAMBDA or self.margin == 1:
            return {}
        return {
            "no-annealing": f"A-Softmax begins with lambda {begin:.3g}, almost without annealing: "
            "from random weights it rarely converges. Use lambda_base: 1000, or variant: stable"
        }

    def step_completed(self) -> None:
        """Decrease lambda."""
        if self.config.variant == "annealed":
            self.iteration += 1


def psi(cosine: Tensor, m: int) -> Tensor:
    """Return (-1)^k cos(m theta) - 2k, differentiable up to the ends: no arc cosine is taken.

    Args:
        cosine: cos theta, [B].
        m: Whole, 1 or more.
    """
    before, multiple = torch.ones_like(cosine), cosine  # T_0 and T_1 of Chebyshev's polynomials
    for _ in range(m - 1):
        before, multiple = multiple, 2 * cosine * multiple - before
    return _unfolded(multiple, _turns(cosine.detach(), m))


def detached_psi(cosine: Tensor, m: float) -> Tensor:
    """Return (-1)^k cos(m theta) - 2k for any real m of 1 or more, without a gradient."""
    cosine = cosine.detach()
    multiple = (m * cosine.clamp(-1, 1).acos()).cos()
    return _unfolded(multiple, _turns(cosine, m))


def _turns(cosine: Tensor, m: float) -> Tensor:
    """Return k, the number of theta's multiples of pi / m below it; at pi it is ceil(m) - 1."""
    turns = torch.zeros_like(cosine, dtype=torch.int64)
    for i in range(1, math.ceil(m)):
        turns += cosine <= math.cos(i * math.pi / m)
    return turns


def _unfolded(multiple: Tensor, turns: Tensor) -> Tensor:
    return torch.where(turns % 2 == 0, multiple, -multiple) - 2 * turns
