"""The family of heads that are a softmax over scaled cosines with a changed target."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.scores import Bend, Scores, cosine_scores
from facever.heads.classes.vectors import Prototypes

Gradient = Literal["exact", "authors"]
"""The derivative of the loss, or what the authors of a head compute in its place."""

GRADIENT: Gradient = Field(
    "exact", description="exact: that of the loss; authors: that of their code, see the head"
)


class CosineSoftmaxHead(Head):
    """Softmax over `scale * cosine`, where a subclass changes the target cosine.

    A subclass gives `scale` and `change_target`; or, where the change depends on more than the
    cosine, `compute` that calls `compare`.
    """

    arrangeable = True

    def __init__(self, config: HeadConfig, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)

    @property
    @abstractmethod
    def scale(self) -> Tensor | float:
        """The factor of the cosines."""

    def loss_at_chance(self) -> float:
        """Return log C; a margin costs more."""
        return math.log(self.identities)

    def change_target(self, cosine: Tensor) -> Tensor:
        """Return what takes the place of the target cosines [B]: themselves."""
        return cosine

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy of `scale * cosine` with the target changed."""
        return self.compare(embeddings, labels, self.change_target)

    def compare(
        self,
        embeddings: Tensor,
        labels: Tensor,
        change_target: Callable[[Tensor], Tensor],
        bend: Bend | None = None,
        scale: Tensor | float | None = None,
    ) -> HeadOutput:
        """Return the mean cross-entropy of scaled cosines with the target changed.

        Args:
            embeddings: [B, D].
            labels: int64 [B].
            change_target: From target cosines [B] to what takes their place, before the scale.
            bend: What becomes of the wrong cosines times the scale, if anything.
            scale: In the place of the head's own; it may be [B], one for each embedding.
        """
        scale = self.scale if scale is None else scale
        scores = cosine_scores(self.prototypes.rows(labels), embeddings, scale, bend)
        loss = scores.softmax_loss(scale * change_target(scores.target))
        factor = loss.new_tensor(scale) if isinstance(scale, float) else scale.detach().mean()
        stats = {**cosine_stats(scores, embeddings, self.identities), "scale": factor}
        return HeadOutput(loss, stats)


def cosine_stats(scores: Scores, embeddings: Tensor, identities: int) -> dict[str, Tensor]:
    """Return the statistics of a comparison by cosine, after the loss has been taken."""
    target, hardest = scores.target.detach(), scores.hardest
    stats = {
        "target_cosine": target.mean(),
        "accuracy": (target > hardest).to(target.dtype).mean(),
        "embedding_norm": mean_norm(embeddings),
        "prototype_norm": scores.prototype_norm,
    }
    if identities > 1:
        stats["hardest_wrong_cosine"] = hardest.mean()
    return stats


def shifted(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """Return cos(theta + margin), without an arc cosine: cos m cos theta - sin m sin theta.

    Args:
        cosine: cos theta, [B].
        margin: m in radians, of either sign: a number or [B].
    """
    if isinstance(margin, Tensor):
        return margin.cos() * cosine - margin.sin() * sine(cosine)
    return math.cos(margin) * cosine - math.sin(margin) * sine(cosine)


def with_angle(cosine: Tensor, margin: Tensor | float, easy: bool = False) -> Tensor:
    """Return cos(theta + m), made to fall with theta.

    Beyond theta = pi - m, where cos(theta + m) would rise, it is cos theta - m sin m, as in
    ArcFace's released code: still falling, with a step of 1 - cos m - m sin m (-0.117 for m = 0.5)
    at the seam. An easy margin holds only where cos theta > 0; elsewhere it is cos theta.

    Args:
        cosine: cos theta, [B].
        margin: m in radians, from 0 and below pi / 2: a number or [B].
        easy: No margin for targets at more than 90 degrees.
    """
    turned = shifted(cosine, margin)
    if easy:
        return torch.where(cosine > 0, turned, cosine)
    m = margin if isinstance(margin, Tensor) else torch.tensor(margin, dtype=cosine.dtype)
    return torch.where(cosine > -m.cos(), turned, cosine - m * m.sin())


def straight_through(value: Tensor, changed: Tensor) -> Tensor:
    """Return `changed` with the gradient of `value`."""
    return value + (changed - value).detach()


def sine(cosine: Tensor) -> Tensor:
    """Return sqrt(1 - cosine^2), 0 with gradient 0 where that is below 1e-6."""
    square = 1 - cosine.square()
    inside = square > 1e-12
    return torch.where(inside, torch.where(inside, square, 1.0).sqrt(), 0.0)
