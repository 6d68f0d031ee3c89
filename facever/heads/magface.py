"""MagFace: a margin that grows with the embedding's length, so that the length measures quality."""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from facever.core.console import warn
from facever.heads.base import HeadConfig, HeadOutput
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import CosineSoftmaxHead, with_angle
from facever.heads.registry import register


@register
class MagFace(CosineSoftmaxHead):
    """Cross-entropy of s cos_j with s cos(theta_y + m(a)) at the target, plus lambda_g g(a).

    a is the length of the embedding within [l_a, u_a]; m(a) goes linearly from l_m to u_m there;
    g(a) = 1/a + a/u_a^2, the mean over the batch, falls with a. g favours long
    embeddings and the margin short ones, so that those of clear images become long. Beyond the
    bounds a length has no gradient, as in the authors' code: embeddings that start shorter than
    l_a have a constant margin and no gradient of their length. Choose the bounds for the embedder.

    Reference:
        Meng et al., MagFace: A Universal Representation for Face Recognition and Quality
        Assessment, CVPR 2021, section 3.2, from memory of the paper. Beyond theta = pi - m(a) as
        in ArcFace. lambda_g is the paper's 35 (20 in the authors' code).
    """

    class Config(HeadConfig):
        """Parameters of `magface`."""

        name: Literal["magface"] = "magface"
        l_a: float = Field(10.0, gt=0, description="length of an embedding with the margin l_m")
        u_a: float = Field(110.0, gt=0, description="length of an embedding with the margin u_m")
        l_m: float = Field(0.45, ge=0, lt=math.pi / 2, description="smallest margin, in radians")
        u_m: float = Field(0.8, ge=0, lt=math.pi / 2, description="largest margin, in radians")
        lambda_g: float = Field(35.0, ge=0, description="factor of the regulariser g")
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )
        easy_margin: bool = Field(
            False, description="no margin for targets at more than 90 degrees"
        )

        @model_validator(mode="after")
        def _bounds_in_order(self) -> "MagFace.Config":
            if not self.l_a < self.u_a:
                raise ValueError(f"l_a must be below u_a, not {self.l_a:g} and {self.u_a:g}")
            if not self.l_m <= self.u_m:
                raise ValueError(f"l_m must not be above u_m, not {self.l_m:g} and {self.u_m:g}")
            return self

        @property
        def slope(self) -> float:
            """m'(a), radians per unit of length."""
            return (self.u_m - self.l_m) / (self.u_a - self.l_a)

        @property
        def needed_lambda_g(self) -> float:
            """Return the lambda_g above which l_a is never the best length, whatever the image.

            There s m'(a), the most that the margin can cost, is -lambda_g g'(l_a).
            """
            return self.scale * self.slope / (1 / self.l_a**2 - 1 / self.u_a**2)

    paper = "Meng et al., MagFace, CVPR 2021, section 3.2"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        warn_below(self.name, config.scale, identities, best_target=math.cos(config.l_m))
        if config.lambda_g < config.needed_lambda_g:
            warn(
                f"head '{self.name}': with lambda_g {config.lambda_g:g} the margin can outweigh "
                f"the regulariser, and embeddings shrink to l_a; use lambda_g "
                f"{config.needed_lambda_g:.3g} or more, or a smaller scale"
            )

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy with margins by length, plus the regulariser."""
        c = self.config
        a = torch.linalg.vector_norm(embeddings, dim=1).clamp(c.l_a, c.u_a)
        margin = c.l_m + c.slope * (a - c.l_a)
        output = self.compare(
            embeddings, labels, lambda cosine: with_angle(cosine, margin, c.easy_margin)
        )
        output.loss = output.loss + c.lambda_g * (1 / a + a / c.u_a**2).mean()
        output.stats["margin"] = margin.detach().mean()
        return output
