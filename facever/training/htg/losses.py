"""The losses of adversarial hard-triplet generation, by the numbers of their equations.

d is the squared Euclidean distance of normalised vectors, F the embedder, G the generator, D the
discriminator. a, p, n are a triplet's anchor, positive and negative. A mean over no triplet is 0.

Reference:
    Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018, equations 1 to 6.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from facever.heads.classes.vectors import normalize
from facever.heads.common.comparison import mean_or_zero
from facever.heads.common.distances import distances
from facever.heads.common.mining import Triplets


def square_distances(features: Tensor) -> Tensor:
    """Return d of all pairs, [B, B], of features [B, L]."""
    unit = normalize(features)
    return distances(unit, unit, squared=True)


def margins(between: Tensor, triplets: Triplets) -> Tensor:
    """Return d(a, n) - d(a, p) of each triplet, [T]: by how much it is right.

    Args:
        between: [B, B], distances.
        triplets: Indices into them.
    """
    anchor, positive, negative = triplets
    return between[anchor, negative] - between[anchor, positive]


def embedder_triplet(between: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Return the mean of [d(a, p) - d(a, n) + m]_+.

    Of the distances of F(x) it is equation 1, of those of G(F(x)) equation 3, in which G is frozen
    and hands the gradient on to F.
    """
    return mean_or_zero(F.relu(margin - margins(between, triplets)))


def generator_triplet(between: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Return equation 2, of distances of G(F(x)): the mean of [d(a, n) - d(a, p) + m]_+.

    G pulls anchor and negative together and pushes anchor and positive apart.
    """
    return mean_or_zero(F.relu(margin + margins(between, triplets)))


def shares(triplets: Triplets, images: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return in what share of the places a, p and n of the triplets each image stands.

    Returns:
        [B]; they sum to 1, or to 0 where there is no triplet.
    """
    places = torch.cat(triplets)
    return places.bincount(minlength=images).to(dtype) / max(1, len(places))


def cross_entropy(logits: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Return the cross-entropy averaged over all a, p and n.

    Args:
        logits: [B, K + 1].
        labels: int64 [B].
        shares: [B], of `shares`.
    """
    return (F.cross_entropy(logits, labels, reduction="none") * shares).sum()


def discriminator_loss(
    real: Tensor, generated: Tensor, labels: Tensor, shares: Tensor, beta: float
) -> Tensor:
    """Return equation 4: F(x) has its identity, and G(F(x)) is of the class "generated".

    Args:
        real: [B, K + 1], logits D(F(x)).
        generated: [B, K + 1], logits D(G(F(x))).
        labels: int64 [B], identities 0..K-1.
        shares: [B], of `shares`.
        beta: Weight of the generated.
    """
    last = torch.full_like(labels, generated.shape[1] - 1)
    own = cross_entropy(real, labels, shares)
    return own + beta * cross_entropy(generated, last, shares)


def generator_loss(triplet: Tensor, classification: Tensor | None, gamma: float) -> Tensor:
    """Return L_G: equation 2 plus gamma times equation 5.

    Args:
        triplet: Equation 2.
        classification: Equation 5, the `cross_entropy` of D(G(F(x))) and the true identities; None
            without a discriminator.
        gamma: Its weight.
    """
    return triplet if classification is None else triplet + gamma * classification


def embedder_loss(triplet: Tensor, classification: Tensor, mu: float) -> Tensor:
    """Return equation 6: the triplet loss (equation 3; 1 in the pre-training) plus mu times heads.

    Args:
        triplet: Equation 3 or 1.
        classification: Loss of the heads; the paper's is the softmax without bias.
        mu: Its weight.
    """
    return triplet + mu * classification
