"""Which images of a batch are compared: triplets of an anchor, its positive and a negative.

Every miner is a function of distances [B, B] and labels [B] that returns indices into the batch.
An image without a second one of its identity, or without one of another, is no anchor.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facever.core.seeding import stream

Mining = Literal["all", "semi_hard", "batch_hard", "distance_weighted", "random"]

NEAREST, FARTHEST = 0.5, 1.4
"""Distance-weighted: negatives nearer than NEAREST have its weight, those beyond FARTHEST none."""


class Triplets(NamedTuple):
    """Indices into a batch, each int64 [T]."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


def positive_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return every ordered pair of two images of one identity, as two index vectors."""
    first, second = _partners(labels).nonzero(as_tuple=True)
    return first, second


def without_partner(labels: Tensor) -> Tensor:
    """Return how many images cannot be anchors: no second one, or none of another identity."""
    same = labels[:, None] == labels
    return (~_partners(labels).any(1) | same.all(1)).sum()


def all_triplets(labels: Tensor) -> Triplets:
    """Return every triplet: B (K - 1) (B - K) of them for a batch of P x K = B images.

    The largest tensor is [B (K - 1), B], never [B, B, B].
    """
    anchor, positive = positive_pairs(labels)
    pair, negative = (labels[anchor][:, None] != labels).nonzero(as_tuple=True)
    return Triplets(anchor[pair], positive[pair], negative)


def semi_hard(distances: Tensor, labels: Tensor, margin: float = math.inf) -> Triplets:
    """Return for every positive pair the nearest negative that is farther than the positive.

    A negative n serves if d(a, p) < d(a, n) < d(a, p) + margin. A positive pair without one is left
    out. To take the nearest of those that serve is our choice; the paper says only that semi-hard
    ones are selected.

    Reference:
        Schroff et al., FaceNet, CVPR 2015, eq. 4.
    """
    anchor, positive = positive_pairs(labels)
    own = distances[anchor, positive][:, None]
    to_all = distances[anchor]
    serves = (labels[anchor][:, None] != labels) & (to_all > own) & (to_all < own + margin)
    negative = to_all.masked_fill(~serves, math.inf).argmin(1)
    found = serves.any(1)
    return Triplets(anchor[found], positive[found], negative[found])


def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """Return for every anchor its farthest positive and its nearest negative.

    Reference:
        Hermans et al., In Defense of the Triplet Loss for Person Re-Identification,
        arXiv:1703.07737, 2017, eq. 5.
    """
    partners, strangers = _partners(labels), labels[:, None] != labels
    positive = distances.masked_fill(~partners, -math.inf).argmax(1)
    negative = distances.masked_fill(~strangers, math.inf).argmin(1)
    anchor = (partners.any(1) & strangers.any(1)).nonzero()[:, 0]
    return Triplets(anchor, positive[anchor], negative[anchor])


def distance_weighted(
    distances: Tensor, labels: Tensor, dimension: int, random: np.random.Generator
) -> Triplets:
    """Return for every positive pair a negative, drawn so that all distances are equally frequent.

    Two random unit vectors of dimension n are at distance d with density
    q(d) ~ d^(n-2) (1 - d^2/4)^((n-3)/2), nearly always about sqrt(2), where a negative has
    no gradient. So a negative is drawn with weight 1 / q(d). Distances below NEAREST have the
    weight of NEAREST. Those from FARTHEST on are drawn, with equal weights, only if an anchor has
    no other (both values as we remember them from the authors' code).

    Args:
        distances: [B, B], plain ones of unit vectors.
        labels: int64 [B].
        dimension: n, components of an embedding, 2 or more.
        random: Draws one number per positive pair, in their order.

    Reference:
        Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017, section 4.1.
    """
    anchor, positive = positive_pairs(labels)
    d = distances.double().clamp_min(NEAREST)
    near = d.clamp_max(FARTHEST)  # keeps the logarithm finite; what lies beyond weighs 0 below
    log_q = (dimension - 2) * near.log() + (dimension - 3) / 2 * (1 - near.square() / 4).log()
    strangers = labels[:, None] != labels
    drawn = strangers & (d < FARTHEST)
    alike = strangers & ~drawn.any(1, keepdim=True)
    weights = (-log_q).masked_fill(~drawn, -math.inf).masked_fill(alike, 0.0)
    usable = strangers.any(1)[anchor]
    anchor, positive = anchor[usable], positive[usable]
    shares = weights[anchor].softmax(1).cumsum(1)
    draws = torch.from_numpy(random.random(len(anchor))).to(shares.device)
    # The last share is 1 up to rounding: what is drawn lies below it, and never on a zero weight.
    below = draws[:, None] * shares[:, -1:]
    negative = torch.searchsorted(shares, below, right=True)[:, 0]
    return Triplets(anchor, positive, negative)


def random_negatives(labels: Tensor, random: np.random.Generator) -> Triplets:
    """Return for every positive pair a negative, drawn uniformly from all others.

    Args:
        labels: int64 [B].
        random: Draws one number per positive pair, in their order.
    """
    anchor, positive = positive_pairs(labels)
    strangers = labels[:, None] != labels
    usable = strangers.any(1)[anchor]
    anchor, positive = anchor[usable], positive[usable]
    among = strangers[anchor].cumsum(1)  # the n-th stranger stands where this becomes n
    draws = torch.from_numpy(random.random(len(anchor))).to(labels.device)[:, None]
    chosen = (draws * among[:, -1:]).long()  # 0 .. strangers - 1
    negative = torch.searchsorted(among, chosen, right=True)[:, 0]
    return Triplets(anchor, positive, negative)


class Miner(nn.Module):
    """Triplet mining that can be resumed: its random choices depend on its state alone.

    Its seed comes from torch's generator when it is made; with the count of optimizer steps it is
    part of the state dict. Within one step all micro-batches and processes draw the same numbers.

    Args:
        mining: The method.
        dimension: Components of an embedding.
        squared: Whether the distances it is given are squares.
        margin: Width of the band of semi-hard negatives, in the distances given.
    """

    def __init__(
        self, mining: Mining, dimension: int, *, squared: bool = False, margin: float = math.inf
    ) -> None:
        super().__init__()
        self.mining, self.dimension, self.squared, self.margin = mining, dimension, squared, margin
        self.seed_and_step: Tensor | None
        start = torch.tensor([int(torch.randint(2**31, ())), 0]) if self._draws else None
        self.register_buffer("seed_and_step", start)

    @property
    def _draws(self) -> bool:
        return self.mining in ("distance_weighted", "random")

    @torch.no_grad()
    def forward(self, distances: Tensor, labels: Tensor) -> Triplets:
        """Return the triplets of a batch.

        Args:
            distances: [B, B].
            labels: int64 [B].
        """
        match self.mining:
            case "all":
                return all_triplets(labels)
            case "semi_hard":
                return semi_hard(distances, labels, self.margin)
            case "batch_hard":
                return batch_hard(distances, labels)
            case "distance_weighted":
                assert self.seed_and_step is not None
                seed, step = self.seed_and_step.tolist()
                plain = distances.sqrt() if self.squared else distances
                random = stream(seed, "distance-weighted", step)
                return distance_weighted(plain, labels, self.dimension, random)
            case "random":
                assert self.seed_and_step is not None
                seed, step = self.seed_and_step.tolist()
                return random_negatives(labels, stream(seed, "random-negatives", step))

    def step_completed(self) -> None:
        """Advance to the random choices of the next step."""
        if self.seed_and_step is not None:
            self.seed_and_step[1] += 1


def _partners(labels: Tensor) -> Tensor:
    """Return bool [B, B]: two different images of one identity."""
    same = labels[:, None] == labels
    return same.fill_diagonal_(False)
