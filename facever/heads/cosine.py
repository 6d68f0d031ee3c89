"""Softmax over scaled cosines, without a margin."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.heads.base import HeadConfig
from facever.heads.common.bounds import lowest_loss, needed_scale, warn_below
from facever.heads.common.history import HeadHistory
from facever.heads.common.margin import CosineSoftmaxHead
from facever.heads.registry import register

INITIAL_SCALE = 10.0
SCALE_FLOOR = 0.01


@register
class Cosine(CosineSoftmaxHead):
    """Cross-entropy of z_j = s cos(x, W_j), the scale s fixed or learned.

    A learned scale starts at 10, is at least 0.01 and is not decayed. A fixed scale that is too
    small for the number of identities bounds the loss from below; a warning gives the bound.

    Reference:
        Wang et al., NormFace: L2 Hypersphere Embedding for Face Verification, MM 2017, eq. 6 and
        proposition 2.
    """

    class Config(HeadConfig):
        """Parameters of `cosine`."""

        name: Literal["cosine"] = "cosine"
        scale: Annotated[float, Field(gt=0)] | Literal["learned"] = Field(
            "learned", description="factor of the cosines: a number (20 to 30), or learned"
        )

    paper = "Wang et al., NormFace, MM 2017, eq. 6"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.learned_scale: nn.Parameter | None = None
        if config.scale == "learned":
            self.learned_scale = nn.Parameter(torch.tensor(INITIAL_SCALE))
        else:
            warn_below(self.name, config.scale, identities)

    @property
    def scale(self) -> Tensor | float:
        """The factor of the cosines."""
        if (learned := self.learned_scale) is not None:
            # clamp_min of PyTorch 2.14.1 has no gradient at the floor: the scale would stay there.
            return torch.where(learned < SCALE_FLOOR, SCALE_FLOOR, learned)
        return float(self.config.scale)

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return the target unchanged."""
        return cosine

    def own_alarms(self, figures: HeadHistory) -> dict[str, str]:
        """Report a learned scale that stays below what a small loss needs."""
        scales = figures.span("scale")
        needed = needed_scale(self.identities)
        if self.learned_scale is None or not scales:
            return {}
        if scales[-1] >= needed or scales[-1] > 1.01 * scales[0]:
            return {}
        lowest = lowest_loss(scales[-1], self.identities)
        return {
            "scale-too-small": f"the learned scale is {scales[-1]:.3g} and does not grow; with "
            f"{self.identities} identities the loss cannot fall below {lowest:.3g}. Set scale to "
            f"{max(20, math.ceil(needed))} or more, or raise optimizer.head_lr_scale"
        }

    def no_weight_decay(self) -> set[str]:
        """Return the name of the scale."""
        return {"learned_scale"} if self.learned_scale is not None else set()

    @torch.no_grad()
    def step_completed(self) -> None:
        """Raise a learned scale to its floor."""
        if self.learned_scale is not None:
            self.learned_scale.clamp_min_(SCALE_FLOOR)
