"""Softmax over the dot products with the prototypes."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.errors import TrainingError
from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.losses import softmax_loss
from facever.heads.classes.scoring import dot_scores
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.soft_targets import soft_cross_entropy
from facever.heads.registry import register


@register
class Softmax(Head):
    """Cross-entropy of z_j = W_j . x + b_j.

    Without bias every decision boundary passes through the origin, so that each identity's region
    is a cone: the "unbiased softmax".

    Soft labels q, a distribution over the identities for each image, may take the place of labels:
    the loss is -sum_j q_j log p_j. Label smoothing e makes the target (1 - e) q + e / C, with q
    one-hot for labels: PyTorch's smoothing, where the target itself gets a share of e too (the
    other custom gives e / (C - 1) to the others only).

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
        if not self.prototypes.layout.plain:
            return self._scored(embeddings, labels)
        weight = self.prototypes.weight.to(embeddings.dtype)
        bias = None if self.bias is None else self.bias.to(embeddings.dtype)
        logits = nn.functional.linear(embeddings, weight, bias)
        soft = labels.ndim == 2
        loss_of = soft_cross_entropy if soft else softmax_loss
        loss = loss_of(logits, labels, self.config.label_smoothing)
        right = logits.detach().argmax(1) == (labels.argmax(1) if soft else labels)
        return HeadOutput(
            loss,
            logits,
            {
                "accuracy": right.to(loss.dtype).mean(),
                "embedding_norm": mean_norm(embeddings),
                "prototype_norm": mean_norm(weight),
            },
        )

    @property
    def by_identity(self) -> list[nn.Parameter]:
        """See Head: the prototypes and the bias."""
        return [*super().by_identity, *([] if self.bias is None else [self.bias])]

    def _scored(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return what `compute` does, without logits, for labels alone."""
        if labels.ndim == 2:
            raise TrainingError(
                f"head '{self.name}' takes soft labels only where its prototypes are whole and "
                "kept: leave prototypes.stored, logits and sampled as they are"
            )
        scores = dot_scores(self.prototypes, embeddings, labels, self.bias)
        loss = scores.softmax_loss(scores.target, self.config.label_smoothing)
        right = scores.target.detach() > scores.hardest
        return HeadOutput(
            loss,
            None,
            {
                "accuracy": right.to(loss.dtype).mean(),
                "embedding_norm": mean_norm(embeddings),
                "prototype_norm": scores.prototype_norm,
            },
        )

    def no_weight_decay(self) -> set[str]:
        """Spare the bias."""
        return {"bias"} if self.bias is not None else set()
