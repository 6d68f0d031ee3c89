"""Distances between embeddings, exact near zero too."""

import torch
from torch import Tensor

from facever.heads.classes.vectors import normalize


def distances(a: Tensor, b: Tensor, squared: bool = False) -> Tensor:
    """Return the Euclidean distances between the rows of two matrices.

    They are summed from differences: |a|^2 + |b|^2 - 2 a.b would cancel for the near pairs that a
    batch is mined for. Where a distance is 0, so is its gradient.

    Args:
        a: [A, D], float32 or float64.
        b: [B, D].
        squared: Return their squares.

    Returns:
        [A, B].
    """
    plain = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return plain.square() if squared else plain


def mean_pair_cosine(embeddings: Tensor) -> Tensor:
    """Return the mean cosine of all pairs of rows, detached: 1 says they are all alike.

    Args:
        embeddings: [B, D]; of a single row the mean is 0.
    """
    unit = normalize(embeddings.detach())
    together = unit.sum(0).square().sum() - unit.square().sum()
    return together / max(1, len(unit) * (len(unit) - 1))
