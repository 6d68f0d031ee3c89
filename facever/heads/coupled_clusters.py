"""Coupled clusters: images near the mean of their identity, every other image farther away."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.vectors import normalize
from facever.heads.common.comparison import mean_or_zero
from facever.heads.common.distances import distances, mean_pair_cosine
from facever.heads.registry import register


@register
class CoupledClusters(Head):
    """1/2 max(0, |x_i - c|^2 + alpha - |x_n - c|^2), c the mean of the identity of x_i.

    x_n is the image of another identity that is nearest to c. Each identity of the batch with two
    images or more is in turn the cluster of positives, and all the others are its negatives; an
    image alone in its identity is dropped as a positive and counted. The gradient goes through c
    too, and the default is the mean over the positives (the paper sums): our choices, as are the
    unit vectors and alpha.

    Reference:
        Liu et al., Deep Relative Distance Learning: Tell the Difference Between Similar Vehicles,
        CVPR 2016, section 3.2.
    """

    class Config(HeadConfig):
        """Parameters of `coupled_clusters`."""

        name: Literal["coupled_clusters"] = "coupled_clusters"
        margin: float = Field(0.2, ge=0, description="alpha, by which a negative must be farther")
        normalize: bool = Field(True, description="compare unit vectors, so that cosine verifies")
        reduction: Literal["mean", "sum"] = Field(
            "mean", description="over the positives (accumulated batches: the mean of their sums)"
        )

    images_per_identity = 2
    paper = "Liu et al., Deep Relative Distance Learning, CVPR 2016, section 3.2"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.metric = "cosine" if config.normalize else "euclidean"
        self.sums = config.reduction == "sum"

    def loss_at_collapse(self) -> float | None:
        """Return half the margin, where the loss is a mean."""
        return None if self.sums else self.config.margin / 2 or None

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean or the sum over the images that have a second one of their identity."""
        x = normalize(embeddings) if self.config.normalize else embeddings
        present, cluster, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        sums = x.new_zeros(len(present), x.shape[1]).index_add(0, cluster, x)
        to_all = distances(sums / counts[:, None], x, squared=True)
        others = present[:, None] != labels
        nearest = to_all.masked_fill(~others, math.inf).amin(1)
        # Without a partner or without a negative there is nothing to compare.
        usable = (counts > 1) & others.any(1)
        used = usable[cluster]
        positive = to_all[cluster, torch.arange(len(labels), device=labels.device)][used]
        negative = nearest[cluster[used]]
        excess = positive - negative + self.config.margin
        losses = 0.5 * F.relu(excess)
        loss = mean_or_zero(losses) if self.config.reduction == "mean" else losses.sum()
        return HeadOutput(
            loss,
            {
                "positive_distance": mean_or_zero(positive.detach()),
                "negative_distance": mean_or_zero(negative.detach()),
                "active": mean_or_zero((excess > 0).to(x.dtype)),
                "dropped": (~used).sum().to(x.dtype),
                "pair_cosine": mean_pair_cosine(embeddings),
                "embedding_norm": mean_norm(embeddings),
            },
        )
