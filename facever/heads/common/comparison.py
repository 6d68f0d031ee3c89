"""The family of heads that compare mined images of a batch with one another."""

import math
from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from facever.heads.base import Head, HeadConfig, mean_norm
from facever.heads.classes.vectors import normalize
from facever.heads.common.distances import distances, mean_pair_cosine
from facever.heads.common.mining import Miner, Mining, without_partner


class ComparisonConfig(HeadConfig):
    """The parameters of this family of heads."""

    mining: Mining = Field("all", description="which images of the batch are compared")
    distance: Literal["squared", "plain"] = Field(
        "squared", description="squared or plain Euclidean distance"
    )
    normalize: bool = Field(True, description="compare unit vectors, so that cosine verifies")
    soft_margin: bool = Field(
        False, description="log(1 + e^z) in place of max(0, z): every example keeps a gradient"
    )
    reduction: Literal["mean", "active"] = Field(
        "mean",
        description="mean over all mined triplets or pairs, or over those that violate the margin",
    )

    @model_validator(mode="after")
    def _weighted_by_distance_on_the_sphere(self) -> Self:
        if self.mining == "distance_weighted" and not self.normalize:
            raise ValueError(
                "mining 'distance_weighted' is defined on unit vectors: set normalize to true"
            )
        return self


class ComparisonHead(Head):
    """Distances between the embeddings of a batch, mined triplets, and means over them.

    Anchors without a partner are dropped and counted, as `dropped`. Where nothing is mined, the
    loss and the means among the stats are 0.
    """

    images_per_identity = 2
    config: ComparisonConfig

    def __init__(
        self, config: ComparisonConfig, embedding_size: int, identities: int, band: float = math.inf
    ) -> None:
        super().__init__(config, embedding_size, identities)
        self.metric = "cosine" if config.normalize else "euclidean"
        squared = config.distance == "squared"
        self.miner = Miner(config.mining, embedding_size, squared=squared, margin=band)

    def distances(self, embeddings: Tensor) -> Tensor:
        """Return the distances [B, B] that the configuration names."""
        vectors = normalize(embeddings) if self.config.normalize else embeddings
        return distances(vectors, vectors, squared=self.config.distance == "squared")

    def hinge(self, excess: Tensor) -> Tensor:
        """Return max(0, z), or its soft form."""
        return F.softplus(excess) if self.config.soft_margin else F.relu(excess)

    def reduce(self, losses: Tensor, violating: Tensor) -> Tensor:
        """Return the mean over what was mined, or over those that violate the margin."""
        if self.config.reduction == "active":
            return (losses * violating).sum() / violating.sum().clamp_min(1)
        return mean_or_zero(losses)

    def step_completed(self) -> None:
        """Draw other triplets from the next step on."""
        self.miner.step_completed()

    def stats(
        self,
        embeddings: Tensor,
        labels: Tensor,
        positive: Tensor,
        negative: Tensor,
        violating: Tensor,
    ) -> dict[str, Tensor]:
        """Return the statistics of the distances of positive and negative pairs."""
        dtype = embeddings.dtype
        return {
            "positive_distance": mean_or_zero(positive.detach()),
            "negative_distance": mean_or_zero(negative.detach()),
            "active": mean_or_zero(violating.to(dtype)),
            "dropped": without_partner(labels).to(dtype),
            "pair_cosine": mean_pair_cosine(embeddings),
            "embedding_norm": mean_norm(embeddings),
        }


def mean_or_zero(values: Tensor) -> Tensor:
    """Return the mean, 0 of nothing."""
    return values.sum() / max(1, len(values))
