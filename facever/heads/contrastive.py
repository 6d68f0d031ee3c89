"""Contrastive loss: pairs of one identity together, pairs of two apart."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import HeadOutput
from facever.heads.common.comparison import ComparisonConfig, ComparisonHead, mean_or_zero
from facever.heads.common.mining import Mining
from facever.heads.registry import register


@register
class Contrastive(ComparisonHead):
    """Mean d over pairs of one identity plus mean max(0, m - d) over pairs of two.

    The squared distance, the default, is NormFace's form; the plain one with `power` 2 is that of
    Hadsell et al., without their factors 1/2. Mining `all` takes every pair once; there an image
    alone in its identity counts as dropped, but still serves as a negative. The other ways take the
    two pairs of each mined triplet, semi-hard ones from a band without end. Two means, so that the
    many negative pairs do not outweigh the few positive ones, are our choice.

    Reference:
        Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, eq. 4;
        Wang et al., NormFace, MM 2017, section 3.4. Mined: Wu et al., Sampling Matters in Deep
        Embedding Learning, ICCV 2017.
    """

    class Config(ComparisonConfig):
        """Parameters of `contrastive`."""

        name: Literal["contrastive"] = "contrastive"
        margin: float = Field(1.0, gt=0, description="m, how far apart two identities must be")
        power: Literal[1, 2] = Field(1, description="power of both terms")
        mining: Mining = Field("all", description="which pairs of the batch are compared")

    paper = "Hadsell et al., CVPR 2006, eq. 4; Wang et al., NormFace, MM 2017, section 3.4"
    config: Config

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean over positive pairs plus the mean over negative ones."""
        between = self.distances(embeddings)
        if self.config.mining == "all":
            first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
            pairs, same = between[first, second], labels[first] == labels[second]
            positive, negative = pairs[same], pairs[~same]
        else:
            triplets = self.miner(between, labels)
            positive = between[triplets.anchor, triplets.positive]
            negative = between[triplets.anchor, triplets.negative]
        excess = self.config.margin - negative
        together = mean_or_zero(positive**self.config.power)
        apart = self.reduce(self.hinge(excess) ** self.config.power, excess > 0)
        stats = self.stats(embeddings, labels, positive, negative, excess > 0)
        return HeadOutput(together + apart, stats)
