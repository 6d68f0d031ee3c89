"""Losses against distributions over the identities instead of labels."""

import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes.losses import SMALLEST_GRADIENT


def soft_cross_entropy(logits: Tensor, shares: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean of -sum_j q_j log p_j, q the smoothed shares.

    Args:
        logits: [B, C].
        shares: [B, C], each row a distribution.
        label_smoothing: e in [0, 1): q = (1 - e) shares + e / C.
    """
    return F.cross_entropy(
        _saturable(logits), shares.to(logits.dtype), label_smoothing=label_smoothing
    )


def divergence(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return [B]: T^2 KL(softmax(teacher / T) || softmax(logits / T)), in natural units.

    The factor T^2 keeps the size of the gradients, which fall as 1 / T^2, over temperatures.

    Args:
        logits: The student's, [B, C].
        teacher: The teacher's, [B, C]; no gradient flows there.
        temperature: T, above 0.

    Reference:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
    """
    student = F.log_softmax(_saturable(logits) / temperature, 1)
    wanted = F.log_softmax(teacher.detach() / temperature, 1)
    terms = F.kl_div(student, wanted, reduction="none", log_target=True)
    return temperature**2 * terms.sum(1)


def _saturable(logits: Tensor) -> Tensor:
    """Keep denormals out of the gradient of the logits: they would slow every product down."""
    if logits.requires_grad:
        logits.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: F.hardshrink(gradient, SMALLEST_GRADIENT)
        )
    return logits
