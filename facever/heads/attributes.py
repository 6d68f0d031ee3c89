"""Attributes: several yes-or-no labels of each image, learned in addition to its identity."""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.vectors import normalize
from facever.heads.registry import register

THRESHOLD = 0.5


@register
class Attributes(Head):
    """Binary cross-entropy of a sigmoid for each label, on the direction of the embedding.

    p = sigmoid(V x~ sqrt(D) + b), with x~ the unit embedding: the length of embeddings has no
    effect, so that labels can be predicted from the unit vectors of an embedding set too. The loss
    is the mean over all known labels; NaN is an unknown one. `thresholds` has for each label the
    probability above which the answer is yes; a training sets it on its development images.

    Reference:
        Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015 (there with hinge losses;
        the sigmoid and its thresholds are our choice).
    """

    class Config(HeadConfig):
        """Parameters of `attributes`."""

        from_data: ClassVar[frozenset[str]] = frozenset({"labels"})

        name: Literal["attributes"] = "attributes"
        columns: list[str] = Field(
            min_length=1,
            description="columns of the data: yes or no (1/0, 1/-1, true/false), or one of several "
            "values, each of which becomes a label COLUMN=VALUE",
        )
        labels: list[str] | None = Field(
            None, min_length=1, description="names of the labels; null: from the columns"
        )

    beside = "attributes"
    paper = "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015"
    config: Config
    thresholds: Tensor

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.label_names = tuple(config.labels or config.columns)
        self.classifier = nn.Linear(embedding_size, len(self.label_names))
        self.register_buffer("thresholds", torch.full((len(self.label_names),), THRESHOLD))

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The number of labels."""
        return (len(self.label_names),)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean binary cross-entropy; `labels` [B, A] of 0, 1 and NaN for unknown."""
        known = labels.isfinite()
        wanted = labels.to(embeddings.dtype).masked_fill(~known, 0.0)
        logits = self.logits(embeddings)
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        count = known.sum().clamp_min(1)
        yes = logits.detach().sigmoid() > self.thresholds.to(logits.dtype)
        right = (yes == (wanted > 0.5)) & known
        return HeadOutput(
            losses.masked_fill(~known, 0.0).sum() / count,
            stats={
                "accuracy": right.sum().to(logits.dtype) / count,
                "known": known.to(logits.dtype).mean(),
                "embedding_norm": mean_norm(embeddings),
            },
        )

    def logits(self, embeddings: Tensor) -> Tensor:
        """Return the log-odds [B, A] of each label; embeddings [B, D] of any length."""
        weight, bias = (p.to(embeddings.dtype) for p in self.classifier.parameters())
        return F.linear(normalize(embeddings) * self.embedding_size**0.5, weight, bias)

    def no_weight_decay(self) -> set[str]:
        """Return the name of the bias."""
        return {"classifier.bias"}
