"""Center loss: every embedding near the centre of its identity."""

from typing import Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor

from facever.core.processes import gather, world
from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.common.distances import mean_pair_cosine
from facever.heads.registry import register


@register
class Center(Head):
    """1/2 |x - c_y|^2 to centres c that follow the embeddings; for use with another head.

    The centres are buffers, not parameters: no optimizer, decay or clipping touches them, and
    checkpoints hold them. Once per optimizer step, from all its micro-batches and processes
    together, c_j goes by -alpha sum_i (c_j - x_i) / (1 + n_j) over the n_j embeddings of identity
    j, whatever this head's weight. At the first step that shows an identity its centre becomes
    the mean of its embeddings (our choice; until then they add 0 to the loss).

    It does not separate identities: alone it would collapse all embeddings into a point, so that a
    training refuses it without another head, which also decides the metric of verification. Its
    centres take no part in a decision, so it has no `prototypes`.

    Reference:
        Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016,
        eq. 2 to 4.

    Attributes:
        centers: [identities, embedding_size].
        seen: bool [identities], which centres have been set.
    """

    class Config(HeadConfig):
        """Parameters of `center`."""

        name: Literal["center"] = "center"
        alpha: float = Field(0.5, gt=0, le=1, description="how fast the centres follow")
        reduction: Literal["mean", "sum"] = Field(
            "mean",
            description="over the batch: mean, as the released code has it (a weight of 0.008), or "
            "sum, as the paper (accumulated batches: the mean of their sums)",
        )

    metric = "euclidean"
    helper = True
    paper = "Wen et al., A Discriminative Feature Learning Approach, ECCV 2016, eq. 2 to 4"
    config: Config
    centers: Tensor
    seen: Tensor

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.sums = config.reduction == "sum"
        self.register_buffer("centers", torch.zeros(identities, embedding_size))
        self.register_buffer("seen", torch.zeros(identities, dtype=torch.bool))
        self._batches: list[tuple[Tensor, Tensor]] = []  # of this step; empty between steps

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return half the squared distances to the centres, reduced over the batch."""
        if self.training and torch.is_grad_enabled():
            self._batches.append((embeddings.detach(), labels))
        seen = self.seen[labels]
        offsets = embeddings - self.centers[labels].to(embeddings.dtype)
        squares = offsets.square().sum(1).masked_fill(~seen, 0.0)
        loss = 0.5 * (squares.mean() if self.config.reduction == "mean" else squares.sum())
        distance = squares.detach().sqrt().sum() / seen.sum().clamp_min(1)
        stats = {
            "positive_distance": distance,
            "pair_cosine": mean_pair_cosine(embeddings),
            "embedding_norm": mean_norm(embeddings),
        }
        return HeadOutput(loss, stats)

    @torch.no_grad()
    def step_completed(self) -> None:
        """Move the centres towards the embeddings of this step, of all processes.

        Every process must call it, as it must the optimizer's step.
        """
        embeddings, labels = self._of_this_step()
        identities, place, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        n = counts[:, None].to(self.centers.dtype)
        sums = torch.zeros_like(self.centers[identities]).index_add_(0, place, embeddings)
        old, seen = self.centers[identities], self.seen[identities][:, None]
        moved = old - self.config.alpha * (n * old - sums) / (1 + n)
        new = torch.where(seen, moved, sums / n)
        if world() > 1:
            dist.broadcast(new, src=0)  # a GPU adds in any order: this keeps them equal to the bit
        self.centers[identities] = new
        self.seen[identities] = True

    def _of_this_step(self) -> tuple[Tensor, Tensor]:
        """Return embeddings [N, D] and labels [N] of all micro-batches and processes."""
        like, self._batches, batches = self.centers, [], self._batches
        embeddings = torch.cat([like[:0], *(x.to(like.dtype) for x, _ in batches)])
        labels = torch.cat([*(y for _, y in batches), like.new_zeros(0, dtype=torch.int64)])
        return gather(embeddings), gather(labels)
