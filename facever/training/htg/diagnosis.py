"""What shows whether the adversaries do their work: shares and means to log, without gradients."""

import torch
from torch import Tensor

from facever.heads.classes.vectors import normalize
from facever.heads.common.comparison import mean_or_zero
from facever.heads.common.mining import Triplets
from facever.training.htg.losses import margins


@torch.no_grad()
def hardness(between: Tensor, triplets: Triplets, margin: float) -> tuple[Tensor, Tensor]:
    """Return how hard triplets are.

    Args:
        between: [B, B], distances d of features.
        triplets: Indices into them.
        margin: m of the triplet loss.

    Returns:
        The share of triplets that violate the margin, and the mean of d(a, n) - d(a, p).
    """
    by = margins(between, triplets)
    return mean_or_zero((by < margin).to(by.dtype)), mean_or_zero(by)


@torch.no_grad()
def kept(features: Tensor, prototypes: Tensor, labels: Tensor) -> Tensor:
    """Return the share of features whose nearest prototype, by cosine, is that of their identity.

    The judge is the embedder's own classifier, which neither the generator nor the discriminator
    trains (our choice).

    Args:
        features: [B, L].
        prototypes: [K, L].
        labels: int64 [B].
    """
    cosines = normalize(features) @ normalize(prototypes.to(features.dtype)).T
    return (cosines.argmax(1) == labels).to(features.dtype).mean()


@torch.no_grad()
def relative_offset(features: Tensor, generated: Tensor) -> Tensor:
    """Return the mean of |G(x) - x| / |x|."""
    lengths = torch.linalg.vector_norm(features, dim=1).clamp_min(1e-12)
    moved: Tensor = torch.linalg.vector_norm(generated - features, dim=1) / lengths
    return moved.mean()


@torch.no_grad()
def verdicts(real: Tensor, generated: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return how the discriminator judges.

    Args:
        real: [B, K + 1], logits of real features.
        generated: [B, K + 1], logits of generated ones.
        labels: int64 [B].

    Returns:
        The share of real features that get their identity, the share of generated ones that get
        the class "generated", and the mean share of both kinds that are told apart, "generated"
        or not: chance is 1/2.
    """
    last = generated.shape[1] - 1
    own, found = real.argmax(1), generated.argmax(1) == last
    apart = ((own != last).to(real.dtype).mean() + found.to(real.dtype).mean()) / 2
    return (own == labels).to(real.dtype).mean(), found.to(real.dtype).mean(), apart
