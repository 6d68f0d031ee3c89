"""Hinges on the distances between embeddings and the prototypes of other identities."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facever.heads.classes.vectors import blocks

Reduction = Literal["sum", "mean", "hardest"]


def squared(cosine: Tensor) -> Tensor:
    """Return |x~ - W~|^2 of unit vectors: 2 - 2 cos."""
    return 2 - 2 * cosine


def hinges(wrong: Tensor, limit: Tensor, hardest_only: bool) -> tuple[Tensor, Tensor]:
    """Return how far wrong prototypes are within a limit of squared distance.

    Args:
        wrong: [B, C], cosines with the wrong identities; -inf at the own one.
        limit: [B], the squared distance at which a wrong prototype begins to count.
        hardest_only: Look at the nearest wrong prototype alone.

    Returns:
        [B]: sum_j max(0, limit - |x~ - W~_j|^2) over the wrong identities j.
        [B]: how many of them count, without gradient.
    """
    if hardest_only:
        wrong = wrong.max(1, keepdim=True).values
    sums, counts = _Hinges.apply(wrong, 1 - limit / 2)
    return 2 * sums, counts


class _Hinges(torch.autograd.Function):
    """sum_j max(0, cos_j - lowest) [B] and its number of terms, a few rows at a time."""

    @staticmethod
    def forward(ctx: Any, wrong: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
        sums, counts = torch.empty_like(lowest), torch.empty_like(lowest)
        for rows in blocks(len(wrong), wrong.shape[1], wrong.device):
            excess = (wrong[rows] - lowest[rows, None]).clamp_min_(0)
            torch.sum(excess, 1, out=sums[rows])
            torch.sum(excess.sign_(), 1, out=counts[rows])
        ctx.save_for_backward(wrong, lowest, counts)
        ctx.mark_non_differentiable(counts)
        return sums, counts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_sums: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        wrong, lowest, counts = ctx.saved_tensors
        d_wrong = torch.empty_like(wrong)
        for rows in blocks(len(wrong), wrong.shape[1], wrong.device):
            torch.gt(wrong[rows], lowest[rows, None], out=d_wrong[rows]).mul_(d_sums[rows, None])
        return d_wrong, -counts * d_sums
