"""ArcFace: a margin added to the target angle."""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import (
    GRADIENT,
    CosineSoftmaxHead,
    Gradient,
    straight_through,
    with_angle,
)
from facever.heads.registry import register


@register
class ArcFace(CosineSoftmaxHead):
    """Cross-entropy of s cos_j with s cos(theta_y + m) at the target.

    cos(theta + m) falls with theta only up to theta = pi - m. Beyond that the target is
    cos theta - m sin m, as in the authors' code: still falling, with a step of 1 - cos m - m sin m
    (-0.117 for m = 0.5) at the seam. With `easy_margin` the margin holds only where cos theta > 0,
    and elsewhere the target is cos theta.

    `gradient: authors` has the same values up to rounding, and the gradient of s cos theta: the
    authors add the margin where no gradient is recorded. The exact gradient of the target is
    sin(theta + m) / sin(theta) times as large: with m = 0.5, 1.36 times at 45 degrees, 0.96 times
    at 80.

    Reference:
        Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019,
        eq. 3.
    """

    class Config(HeadConfig):
        """Parameters of `arcface`."""

        name: Literal["arcface"] = "arcface"
        margin: float = Field(
            0.5, ge=0, lt=math.pi / 2, description="m, added to the target angle, in radians"
        )
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )
        easy_margin: bool = Field(
            False, description="no margin for targets at more than 90 degrees"
        )
        gradient: Gradient = GRADIENT

    paper = "Deng et al., ArcFace, CVPR 2019, eq. 3"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        warn_below(self.name, config.scale, identities, best_target=math.cos(config.margin))

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + m), or its continuation at large angles."""
        changed = with_angle(cosine, self.config.margin, self.config.easy_margin)
        return straight_through(cosine, changed) if self.config.gradient == "authors" else changed
