"""Triplet loss: nearer to one's own than to others, by a margin."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from facever.heads.base import HeadOutput
from facever.heads.common.comparison import ComparisonConfig, ComparisonHead
from facever.heads.common.mining import Mining
from facever.heads.registry import register


@register
class Triplet(ComparisonHead):
    """Mean over mined triplets of max(0, d(a, p) - d(a, n) + m).

    With `soft_margin` it is log(1 + e^z) of the same z; Hermans et al. take it with margin 0 and
    the plain distance, which is the default with batch-hard mining: the gradient of a squared one
    vanishes with the distance, so that embeddings close to each other stay close (loss at
    the margin). The band of semi-hard negatives is m wide, without end for a soft margin.

    Reference:
        Schroff et al., FaceNet: A Unified Embedding for Face Recognition and Clustering, CVPR 2015,
        eq. 3 and 4. Batch-hard and soft margin: Hermans et al., In Defense of the Triplet Loss for
        Person Re-Identification, arXiv:1703.07737, 2017, eq. 5. Distance-weighted: Wu et al.,
        Sampling Matters in Deep Embedding Learning, ICCV 2017, section 4.1.
    """

    class Config(ComparisonConfig):
        """Parameters of `triplet`."""

        name: Literal["triplet"] = "triplet"
        margin: float = Field(0.2, ge=0, description="m, by which the negative must be farther")
        mining: Mining = Field("semi_hard", description="which triplets of the batch are compared")
        distance: Literal["squared", "plain"] = Field(
            "squared",
            description="squared or plain Euclidean distance; where it is not given and mining is "
            "batch_hard: plain",
        )

        @model_validator(mode="before")
        @classmethod
        def _plain_for_batch_hard(cls, values: Any) -> Any:
            if isinstance(values, dict) and values.get("mining") == "batch_hard":
                return {"distance": "plain", **values}
            return values

        def risk_without_norm(self) -> str | None:
            """See HeadConfig."""
            hard = self.mining == "batch_hard" and self.distance == "squared"
            if not hard or self.soft_margin or not self.normalize or not self.margin:
                return None
            return (
                "all embeddings may collapse into one point, with the loss at the margin; change "
                "to distance: plain"
            )

    paper = "Schroff et al., FaceNet, CVPR 2015, eq. 3; Hermans et al., 2017, eq. 5"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        band = math.inf if config.soft_margin else config.margin
        super().__init__(config, embedding_size, identities, band)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean over the mined triplets."""
        between = self.distances(embeddings)
        triplets = self.miner(between, labels)
        positive = between[triplets.anchor, triplets.positive]
        negative = between[triplets.anchor, triplets.negative]
        excess = positive - negative + self.config.margin
        loss = self.reduce(self.hinge(excess), excess > 0)
        stats = self.stats(embeddings, labels, positive, negative, excess > 0)
        return HeadOutput(loss, stats)

    def loss_at_collapse(self) -> float | None:
        """Return the margin, or its soft form; None without either."""
        if self.config.soft_margin:
            return math.log1p(math.exp(self.config.margin))
        return self.config.margin or None
