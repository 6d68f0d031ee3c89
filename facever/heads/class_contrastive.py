"""C-contrastive loss: near the own prototype, away from the others."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput
from facever.heads.classes.scores import cosine_scores, squared
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.margin import cosine_stats
from facever.heads.registry import register


@register
class ClassContrastive(Head):
    """|x~ - W~_y|^2 plus max(0, m - |x~ - W~_j|^2) of every wrong identity j; no pairs are needed.

    Of unit vectors, so that squared distances are 2 - 2 cos and lie in 0..4. The mean is over the
    batch. How the wrong identities are put together is our choice, the paper leaves it open: their
    sum, their mean over all C - 1, or the hardest alone. The paper's best result adds 0.01 of this
    loss to a softmax.

    Reference:
        Wang et al., NormFace: L2 Hypersphere Embedding for Face Verification, MM 2017, section 3.4.
    """

    class Config(HeadConfig):
        """Parameters of `class_contrastive`."""

        name: Literal["class_contrastive"] = "class_contrastive"
        margin: float = Field(
            1.0, gt=0, le=4, description="m, squared distance to which others are kept"
        )
        reduction: Literal["sum", "mean", "hardest"] = Field(
            "sum", description="of the wrong identities: sum, mean over all, or the hardest alone"
        )

    arrangeable = True
    paper = "Wang et al., NormFace, MM 2017, section 3.4"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean of own and wrong costs."""
        scores = cosine_scores(self.prototypes.rows(labels), embeddings)
        reduction = self.config.reduction
        limit = torch.full_like(scores.target, self.config.margin)
        wrong, counts, others = scores.hinges(limit, hardest_only=reduction == "hardest")
        if reduction == "mean":
            wrong = wrong / others
        loss = (squared(scores.target) + wrong).mean()
        stats = cosine_stats(scores, embeddings, self.identities)
        return HeadOutput(loss, {**stats, "active": counts.mean() / others})
