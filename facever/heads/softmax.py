"""Softmax over the dot products with the prototypes."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.errors import TrainingError
from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.scores import dot_scores
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.soft_targets import soft_cross_entropy
from facever.heads.registry import register


@register
class Softmax(Head):
    """Cross-entropy of z_j = W_j . x + b_j.

    Without bias every decision boundary passes through the origin, so that each identity's region
    is a cone: the "unbiased softmax".

    Soft labels q, a distribution over the identities for each image, can replace the labels:
    the loss is -sum_j q_j log p_j. Label smoothing e makes the target (1 - e) q + e / C, with q
    one-hot for labels: PyTorch's smoothing, where the target itself gets a share of e too (the
    other convention gives e / (C - 1) to the others only).

    Reference:
        The unbiased softmax: Zhao et al., An Adversarial Approach to Hard Triplet Generation,
        ECCV 2018, section 3.3.
    """

    class Config(HeadConfig):
        """Parameters of `softmax`."""

        name: Literal["softmax"] = "softmax"
        bias: bool = Field(False, description="one bias per identity; false: unbiased softmax")
        label_smoothing: float = Field(
            0.0, ge=0, lt=1, description="share of the target spread evenly over all identities"
        )

    metric = "dot"
    soft_labels = True
    arrangeable = True
    paper = "Softmax cross-entropy; without bias: Zhao et al., ECCV 2018 (HTG), section 3.3"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)
        self.bias = nn.Parameter(torch.zeros(identities)) if config.bias else None

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy of the dot products; labels int64 [B] or shares [B, C]."""
        if labels.ndim == 2:
            return self._against_shares(embeddings, labels)
        scores = dot_scores(self.prototypes.rows(labels), embeddings, self.bias)
        loss = scores.softmax_loss(label_smoothing=self.config.label_smoothing)
        right = scores.target > scores.hardest
        return self._output(loss, right, embeddings, scores.prototype_norm)

    @property
    def by_identity(self) -> list[nn.Parameter]:
        """See Head: the prototypes and the bias."""
        return [*super().by_identity, *([] if self.bias is None else [self.bias])]

    def _against_shares(self, embeddings: Tensor, shares: Tensor) -> HeadOutput:
        """Return the mean cross-entropy against a distribution over all identities, in one piece.

        Raises:
            TrainingError: The prototypes have another layout than whole and kept.
        """
        if not self.prototypes.layout.plain:
            raise TrainingError(
                f"head '{self.name}' takes soft labels only with whole prototypes and kept logits: "
                "omit prototypes.stored, prototypes.logits and prototypes.sampled"
            )
        weight = self.prototypes.weight.to(embeddings.dtype)
        bias = None if self.bias is None else self.bias.to(embeddings.dtype)
        logits = nn.functional.linear(embeddings, weight, bias)
        loss = soft_cross_entropy(logits, shares, self.config.label_smoothing)
        right = logits.detach().argmax(1) == shares.argmax(1)
        return self._output(loss, right, embeddings, mean_norm(weight))

    def loss_at_chance(self) -> float:
        """Return log C."""
        return math.log(self.identities)

    @staticmethod
    def _output(loss: Tensor, right: Tensor, embeddings: Tensor, norm: Tensor) -> HeadOutput:
        stats = {
            "accuracy": right.to(loss.dtype).mean(),
            "embedding_norm": mean_norm(embeddings),
            "prototype_norm": norm,
        }
        return HeadOutput(loss, stats)

    def no_weight_decay(self) -> set[str]:
        """Return the name of the bias."""
        return {"bias"} if self.bias is not None else set()
