"""AdaFace: margins that follow the quality of an image, read from its embedding's length."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig, HeadOutput
from facever.heads.common.averages import StepAverage
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import CosineSoftmaxHead, shifted
from facever.heads.registry import register

SHORTEST, LONGEST = 0.001, 100.0
EPSILON = 0.001


@register
class AdaFace(CosineSoftmaxHead):
    """Cross-entropy of s cos_j with s (cos(theta_y + g_angle) - g_add) at the target.

    g_angle = -m q and g_add = m (1 + q), where q is the length of the embedding (without gradient,
    within 0.001 to 100) less the running mean, over the running standard deviation, times h and
    within -1 to 1. So a poor image (q = -1) gets ArcFace's margin, an average one CosFace's, and a
    good one a margin that grows with its angle's cosine. theta + g_angle is kept within 0 to pi.

    Mean and deviation are exponential averages over optimizer steps that count the batch at hand
    (see `StepAverage`), from 20 and 100 on; they are in the state dict. A batch of one image has
    no deviation and leaves the running one.

    Reference:
        Kim et al., AdaFace: Quality Adaptive Margin for Face Recognition, CVPR 2022, section 3.3,
        from memory of the paper; the bounds, the starting values and the share of 0.01 are those
        of the authors' code (the paper says 0.99, of the other side).
    """

    class Config(HeadConfig):
        """Parameters of `adaface`."""

        name: Literal["adaface"] = "adaface"
        margin: float = Field(0.4, ge=0, lt=1, description="m")
        concentration: float = Field(
            0.333, gt=0, description="h, margins reach their ends 1 / h deviations from the mean"
        )
        momentum: float = Field(
            0.01, gt=0, le=1, description="share of the newest step in the mean and deviation"
        )
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )

    paper = "Kim et al., AdaFace, CVPR 2022, section 3.3"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.lengths = StepAverage([20.0, 100.0], config.momentum)
        warn_below(self.name, config.scale, identities, best_target=math.cos(config.margin))

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy, each target with the margins of its image."""
        m, quality = self.config.margin, self._quality(embeddings.detach())
        output = self.compare(
            embeddings, labels, lambda cosine: _turned(cosine, -m * quality) - m * (1 + quality)
        )
        output.stats["margin"] = m * (1 + quality.mean())
        return output

    def step_completed(self) -> None:
        """Update the running mean and deviation."""
        self.lengths.step_completed()

    def _quality(self, embeddings: Tensor) -> Tensor:
        """Return q, [B]."""
        lengths = torch.linalg.vector_norm(embeddings, dim=1).clamp(SHORTEST, LONGEST)
        spread = lengths.std() if len(lengths) > 1 else self.lengths.average[1].to(lengths)
        observed = torch.stack([lengths.mean(), spread])
        mean, deviation = self.lengths(observed, self.training and torch.is_grad_enabled())
        offset: Tensor = self.config.concentration * (lengths - mean) / (deviation + EPSILON)
        return offset.clamp(-1, 1)


def _turned(cosine: Tensor, angle: Tensor) -> Tensor:
    """Return cos(theta + angle) with theta + angle kept within 0 to pi."""
    turned = torch.where((angle > 0) & (cosine < -angle.cos()), -1.0, shifted(cosine, angle))
    return torch.where((angle < 0) & (cosine > angle.cos()), 1.0, turned)
