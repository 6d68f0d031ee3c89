"""C-triplet loss: nearer to the own prototype than to any other, by a margin."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput
from facever.heads.classes.scores import cosine_scores, squared
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.margin import cosine_stats
from facever.heads.registry import register


@register
class ClassTriplet(Head):
    """max(0, m + |x~ - W~_y|^2 - |x~ - W~_j|^2) over the wrong identities j; no mining is needed.

    Of unit vectors, so that squared distances are 2 - 2 cos. The mean is over the batch; for each
    image, the mean over those wrong identities that violate the margin (our choice: a sum would
    start at m (C - 1)), their sum, or the hardest alone. With `pull` that many times |x~ - W~_y|^2
    are added, so that images with the margin still move to their prototype.

    Reference:
        Wang et al., NormFace: L2 Hypersphere Embedding for Face Verification, MM 2017, section 3.4;
        `hardest` and a pull are options of the authors' code, the form of the pull is ours.
    """

    class Config(HeadConfig):
        """Parameters of `class_triplet`."""

        name: Literal["class_triplet"] = "class_triplet"
        margin: float = Field(0.8, gt=0, le=4, description="m, between squared distances")
        reduction: Literal["sum", "mean", "hardest"] = Field(
            "mean", description="of the wrong identities: mean over violating ones, sum, or hardest"
        )
        pull: float = Field(0.0, ge=0, description="factor of the own squared distance, added")

    arrangeable = True
    paper = "Wang et al., NormFace, MM 2017, section 3.4"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)

    def loss_at_collapse(self) -> float | None:
        """Return the margin, where the loss is not a sum."""
        return None if self.config.reduction == "sum" else self.config.margin

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean over the batch of what violates the margin, and the pull."""
        scores = cosine_scores(self.prototypes.rows(labels), embeddings)
        reduction, own = self.config.reduction, squared(scores.target)
        limit = self.config.margin + own
        costs, violating, others = scores.hinges(limit, hardest_only=reduction == "hardest")
        if reduction == "mean":
            costs = costs / violating.clamp_min(1)
        loss = (costs + self.config.pull * own).mean()
        stats = cosine_stats(scores, embeddings, self.identities)
        return HeadOutput(loss, {**stats, "active": violating.mean() / others})
