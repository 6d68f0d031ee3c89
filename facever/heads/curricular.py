"""CurricularFace: hard wrong identities get more weight as the training proceeds."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadConfig, HeadOutput
from facever.heads.common.averages import StepAverage
from facever.heads.common.bounds import warn_below
from facever.heads.common.margin import CosineSoftmaxHead, shifted, with_angle
from facever.heads.registry import register


@register
class Curricular(CosineSoftmaxHead):
    """ArcFace whose hard wrong cosines c become c (t + c).

    A wrong identity is hard where c > cos(theta_y + m). t is the mean target cosine, an exponential
    average over optimizer steps that counts the batch at hand (see `StepAverage`), from 0 on and
    in the state dict: as it grows, hard identities get more weight. t and what is
    hard have no gradient.

    Reference:
        Huang et al., CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition,
        CVPR 2020, section 3.2, from memory of the paper and the authors' code: there t is updated
        with a share of 0.01, and the target goes on as ArcFace's beyond theta = pi - m.
    """

    class Config(HeadConfig):
        """Parameters of `curricular`."""

        name: Literal["curricular"] = "curricular"
        margin: float = Field(
            0.5, ge=0, lt=math.pi / 2, description="m, added to the target angle, in radians"
        )
        momentum: float = Field(0.01, gt=0, le=1, description="share of the newest step in t")
        scale: float = Field(
            30.0, gt=0, description="s, factor of the cosines; 64 for millions of images"
        )

    paper = "Huang et al., CurricularFace, CVPR 2020, section 3.2"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.progress = StepAverage([0.0], config.momentum)
        warn_below(self.name, config.scale, identities, best_target=math.cos(config.margin))

    @property
    def scale(self) -> float:
        """The factor of the cosines."""
        return self.config.scale

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return cos(theta + m), or its continuation at large angles."""
        return with_angle(cosine, self.config.margin)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy with the hard wrong cosines changed."""
        counted = self.training and torch.is_grad_enabled()
        s = self.scale

        def bend(target: Tensor) -> Callable[[Tensor], Tensor]:
            (t,) = self.progress((target.mean() / s)[None], counted)
            boundary = s * shifted(target / s, self.config.margin)[:, None]

            def change(z: Tensor) -> Tensor:
                easy = z <= boundary
                cosine = (z / s).masked_fill_(easy, 0.0)
                slope: Tensor = (cosine + t).masked_fill_(easy, 1.0)
                z.mul_(slope)
                return slope.add_(cosine)

            return change

        return self.compare(embeddings, labels, self.change_target, bend)

    def step_completed(self) -> None:
        """Update t."""
        self.progress.step_completed()
