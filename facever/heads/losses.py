"""Losses over logits, shared by the heads."""

import torch.nn.functional as F
from torch import Tensor

from facever.heads.prototypes import SMALLEST_GRADIENT


def softmax_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean softmax cross-entropy.

    A saturated softmax leaves denormals in the logits' gradient; they are set to zero.

    Args:
        logits: [B, C].
        labels: int64 [B].
        label_smoothing: e in [0, 1): the target distribution is (1 - e) onehot + e / C.
    """
    if logits.requires_grad:
        logits.register_hook(_without_denormals)  # type: ignore[no-untyped-call]
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def _without_denormals(gradient: Tensor) -> Tensor:
    return F.hardshrink(gradient, SMALLEST_GRADIENT)
