"""Losses over logits, shared by the heads."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from facever.heads.classes.vectors import blocks

SMALLEST_GRADIENT = 1e-30
"""Gradients of logits below this are zero: as denormals they would slow every product down."""


def softmax_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean softmax cross-entropy.

    Probabilities whose share of the gradient is below 1e-30 count as zero: a saturated softmax
    would leave denormals there.

    Args:
        logits: [B, C].
        labels: int64 [B].
        label_smoothing: e in [0, 1): the target distribution is (1 - e) onehot + e / C.
    """
    loss: Tensor = _SoftmaxLoss.apply(logits, labels, label_smoothing)
    return loss


class _SoftmaxLoss(torch.autograd.Function):
    """log sum_j e^z_j - sum_j q_j z_j, a few rows at a time, which stay in a processor's cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        top, sums = logits.amax(1, keepdim=True), logits.new_empty(len(logits), 1)
        for rows in blocks(len(logits), logits.shape[1], logits.device):
            weights = _exponentials(logits[rows] - top[rows], len(logits))
            torch.sum(weights, 1, keepdim=True, out=sums[rows])
        aimed = logits.gather(1, labels[:, None]) - top
        if smoothing:
            aimed = (1 - smoothing) * aimed + smoothing * (logits.mean(1, keepdim=True) - top)
        ctx.save_for_backward(logits, labels, top, sums)
        ctx.smoothing = smoothing
        return (sums.log() - aimed).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None, None]:
        logits, labels, top, sums = ctx.saved_tensors
        share = d_loss / len(logits)
        d_logits = torch.empty_like(logits)
        for rows in blocks(len(logits), logits.shape[1], logits.device):
            part = torch.sub(logits[rows], top[rows], out=d_logits[rows])
            _exponentials(part, len(logits)).mul_(share / sums[rows])
            if ctx.smoothing:
                part.sub_(share * ctx.smoothing / logits.shape[1])
        aimed = (share * (ctx.smoothing - 1)).expand(len(labels), 1)
        return d_logits.scatter_add_(1, labels[:, None], aimed), None, None


def one_vs_all_loss(logits: Tensor, labels: Tensor, own_share: float) -> Tensor:
    """Return the loss of C binary classifiers, each of which knows one identity from all others.

    It is the mean over the batch of a softplus(-z_y) + (1 - a) sum_{j != y} softplus(z_j).
    Gradients below 1e-30 are zero.

    Args:
        logits: [B, C].
        labels: int64 [B].
        own_share: a in (0, 1).
    """
    loss: Tensor = _OneVsAllLoss.apply(logits, labels, own_share)
    return loss


class _OneVsAllLoss(torch.autograd.Function):
    """A few rows at a time, which stay in a processor's cache."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, own_share: float) -> Tensor:
        ctx.save_for_backward(logits, labels)
        ctx.own_share = own_share
        own, wrong = logits.gather(1, labels[:, None]), logits.new_empty(len(logits))
        for rows in blocks(len(logits), logits.shape[1], logits.device):
            costs = _softplus(logits[rows]).scatter_(1, labels[rows, None], 0.0)
            torch.sum(costs, 1, out=wrong[rows])
        return (own_share * _softplus(-own)[:, 0] + (1 - own_share) * wrong).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None, None]:
        logits, labels = ctx.saved_tensors
        share = d_loss / len(logits)
        d_logits = torch.empty_like(logits)
        for rows in blocks(len(logits), logits.shape[1], logits.device):
            part = d_logits[rows].copy_(logits[rows])
            _sigmoids(part, len(logits)).mul_((1 - ctx.own_share) * share)
        own = _sigmoids(-logits.gather(1, labels[:, None]), len(logits))
        return d_logits.scatter_(1, labels[:, None], -ctx.own_share * share * own), None, None


def _softplus(z: Tensor) -> Tensor:
    """Return log(1 + e^z), linear only where float64 cannot tell the difference."""
    return F.softplus(z, threshold=40.0)


def _sigmoids(z: Tensor, batch: int) -> Tensor:
    """Return 1 / (1 + e^-z) in place, zero where a B-th of it is under the smallest gradient."""
    return _significant(_bounded(z, batch).sigmoid_(), batch)


def _exponentials(below: Tensor, batch: int) -> Tensor:
    """Return e^below in place, zero where a B-th of it is under the smallest gradient."""
    return _significant(_bounded(below, batch).exp_(), batch)


def _bounded(logarithms: Tensor, batch: int) -> Tensor:
    """Lift what will count as zero: on a CPU denormals are slow to make, and so is e^-inf."""
    return logarithms.clamp_min_(math.log(SMALLEST_GRADIENT * batch))


def _significant(shares: Tensor, batch: int) -> Tensor:
    zeroed: Tensor = torch.threshold_(shares, 1.001 * SMALLEST_GRADIENT * batch, 0.0)
    return zeroed
