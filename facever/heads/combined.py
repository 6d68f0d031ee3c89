"""The combined margin: on the angle as a factor and as a sum, and on the cosine."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import CosineSoftmaxHead, sine, with_angle
from facever.heads.registry import register


@register
class Combined(CosineSoftmaxHead):
    """Cross-entropy of s cos_j with s (cos(m1 theta_y + m2) - m3) at the target.

    m1 = 1 and m3 = 0 is ArcFace, m1 = 1 and m2 = 0 is CosFace, m1 alone SphereFace's margin on
    normalised embeddings. cos(m1 theta + m2) falls with theta only up to the seam at
    theta = (pi - m2) / m1. How it goes on is our choice, the paper says nothing: cos theta - d with
    d = max(u sin u, 1 - cos u) for the distance u of the seam from pi, so that the target falls
    everywhere, ArcFace is met exactly, and hard images keep a gradient. With `easy_margin` there
    is no margin at all where cos theta <= 0.

    Reference:
        Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019,
        eq. 4.
    """

    class Config(HeadConfig):
        """Parameters of `combined`."""

        name: Literal["combined"] = "combined"
        m1: float = Field(1.0, ge=1, le=5, description="factor of the target angle")
        m2: float = Field(
            0.3, ge=0, lt=math.pi / 2, description="added to the target angle, in radians"
        )
        m3: float = Field(0.2, ge=0, lt=1, description="taken off the target cosine")
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )
        easy_margin: bool = Field(
            False, description="no margins for targets at more than 90 degrees"
        )

    paper = "Deng et al., ArcFace, CVPR 2019, eq. 4"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        best = math.cos(config.m2) - config.m3
        warn_below(self.name, config.scale, identities, best_target=best)

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return cos(m1 theta + m2) - m3, or its continuation at large angles."""
        m1, m2, m3 = self.config.m1, self.config.m2, self.config.m3
        changed = (with_angle(cosine, m2) if m1 == 1 else _turned(cosine, m1, m2)) - m3
        return torch.where(cosine > 0, changed, cosine) if self.config.easy_margin else changed


def _turned(cosine: Tensor, m1: float, m2: float) -> Tensor:
    """Return cos(m1 theta + m2) up to the seam and its continuation beyond.

    The angle is computed without gradient; the derivative m1 sin(m1 theta + m2) / sin theta is put
    in by hand, with its limit for m2 = 0, times cos m2, where theta is below 1e-6.
    """
    seam = (math.pi - m2) / m1
    u = math.pi - seam
    with torch.no_grad():
        theta = cosine.clamp(-1, 1).acos()
        value = (m1 * theta + m2).cos()
        low = sine(cosine)
        slope = m1 * (m1 * theta + m2).sin() / low.masked_fill(low == 0, 1.0)
        slope.masked_fill_(low == 0, m1 * m1 * math.cos(m2))
    turned = value + slope * (cosine - cosine.detach())
    return torch.where(theta <= seam, turned, cosine - max(u * math.sin(u), 1 - math.cos(u)))
