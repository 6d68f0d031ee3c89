"""CosFace: a margin taken off the target cosine."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import CosineSoftmaxHead
from facever.heads.registry import register


@register
class CosFace(CosineSoftmaxHead):
    """Cross-entropy of s cos_j with s (cos_y - m) at the target.

    Reference:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018, eq. 4.
    """

    class Config(HeadConfig):
        """Parameters of `cosface`."""

        name: Literal["cosface"] = "cosface"
        margin: float = Field(0.35, ge=0, lt=1, description="m, taken off the target cosine")
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )

    paper = "Wang et al., CosFace, CVPR 2018, eq. 4"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        warn_below(self.name, config.scale, identities, best_target=1 - config.margin)

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return cos - m."""
        return cosine - self.config.margin
