"""Circle loss with prototypes: each similarity is weighted by its distance from its optimum."""

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig, HeadOutput
from facever.heads.common.margin import CosineSoftmaxHead
from facever.heads.registry import register


@register
class Circle(CosineSoftmaxHead):
    """Cross-entropy of gamma a_n (cos_j - m) with gamma a_p (cos_y - (1 - m)) at the target.

    The weights a_p = [1 + m - cos_y]_+ and a_n = [cos_j + m]_+ have no gradient: they
    scale the gradient of each similarity.

    Reference:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020,
        sections 3.2 and 3.3 with the classification form of section 2, from memory of the paper.
    """

    class Config(HeadConfig):
        """Parameters of `circle`."""

        name: Literal["circle"] = "circle"
        margin: float = Field(0.25, gt=0, lt=1, description="m, relaxation of both similarities")
        gamma: float = Field(256.0, gt=0, description="factor of the weighted similarities")

    paper = "Sun et al., Circle Loss, CVPR 2020, section 3"
    config: Config

    @property
    def scale(self) -> float:
        """The factor of the weighted cosines, gamma."""
        return self.config.gamma

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return a_p (cos - (1 - m))."""
        m = self.config.margin
        return (1 + m - cosine.detach()).clamp_min(0) * (cosine - (1 - m))

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy of the weighted similarities."""
        return self.compare(embeddings, labels, self.change_target, self._bend)

    def _bend(self, _: Tensor) -> Callable[[Tensor], Tensor]:
        m, gamma = self.config.margin, self.config.gamma

        def change(z: Tensor) -> Tensor:
            weight = (z / gamma).add_(m).clamp_min_(0)
            z.sub_(gamma * m).mul_(weight)
            return weight

        return change
