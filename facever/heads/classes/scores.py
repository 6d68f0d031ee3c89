"""The scores of a batch with the identities, and the losses that heads make of them.

A head chooses the similarity, changes the own one and names the loss. Whether logits are kept, made
again or spread over processes is the layout's business (see `comparison`).
"""

from collections.abc import Callable

from torch import Tensor

from facever.heads.classes.comparison import BatchComparison, Change, Open, Reduce
from facever.heads.classes.losses import CrossEntropy, Hardest, HingeSum, Loss, OneVsAll
from facever.heads.classes.similarities import (
    CosineSimilarity,
    DotSimilarity,
    KernelSimilarity,
    Similarity,
)
from facever.heads.classes.vectors import Rows, normalize

Bend = Callable[[Tensor], Change]
"""Given the scaled own similarities [B], says what becomes of the wrong ones: a function that
changes a block [B, c] of them in place, element by element, and returns the derivative [B, c]."""


class Scores:
    """How alike B embeddings and the identities are, to be made into one loss.

    Args:
        similarity: What a logit is made from.
        x: [B, D], the same on every process where the prototypes are in shards.
        rows: The prototypes to compare with.
        bias: One for each row [R], part of the similarity; or None.
        scale: What the similarity has as a factor: a number, 0-d or [B].
        bend: What becomes of the wrong similarities, if anything.
        shift: Added to the wrong logits: 0-d, or [R] without a gradient; or None.
    """

    def __init__(
        self,
        similarity: Similarity,
        x: Tensor,
        rows: Rows,
        bias: Tensor | None = None,
        scale: Tensor | float = 1.0,
        bend: Bend | None = None,
        shift: Tensor | None = None,
    ) -> None:
        self._scale = scale.detach() if isinstance(scale, Tensor) else scale
        limit = rows.layout.noise_filter
        self._work = BatchComparison(
            similarity, rows, None if limit is None else limit * self._scale
        )
        own, self._token = Open.apply(
            self._work, x, rows.weight.to(x.dtype), _of(bias, x), _of(shift, x)
        )
        self._like, self._taken = x.detach()[:, 0], False
        self._work.change = bend(own.detach()) if bend else None
        self._target = None if own is None else own / scale

    @property
    def target(self) -> Tensor:
        """[B], the similarity of each embedding to its own prototype, without the scale.

        Cosines have a gradient and are known at once, others after the loss has been taken.
        """
        return self._work.found / self._scale if self._target is None else self._target

    @property
    def hardest(self) -> Tensor:
        """[B], the largest similarity to another identity, as `target`; without gradient.

        -inf where there is none. It is known after the loss has been taken.
        """
        return self._work.hardest / self._scale

    @property
    def prototype_norm(self) -> Tensor:
        """0-d, mean length of the prototypes; known after the loss has been taken."""
        return self._work.watched[1] / self._work.watched[0]

    @property
    def watched(self) -> Tensor:
        """[1 + W], how many prototypes were compared with, and their `Similarity.watched`."""
        return self._work.watched

    def softmax_loss(self, own: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy.

        Args:
            own: [B], the logits of the labels; None, where they are not cosines: as compared.
            label_smoothing: e in [0, 1): the target distribution is (1 - e) onehot + e / C.
        """
        return self._reduced(CrossEntropy(self._like, own, label_smoothing))[0].mean()

    def one_vs_all_loss(self, own: Tensor, own_share: float) -> Tensor:
        """Return the mean loss of C binary classifiers, each for one identity and against the rest.

        It is a softplus(-z_y) + (1 - a) sum_{j != y} softplus(z_j).

        Args:
            own: z_y [B], without the shift.
            own_share: a in (0, 1).
        """
        shift = self._work.shift
        own = own if shift is None else own + shift.detach()
        return self._reduced(OneVsAll(own, own_share))[0].mean()

    def hinges(self, limit: Tensor, hardest_only: bool) -> tuple[Tensor, Tensor, Tensor | int]:
        """Return how far wrong prototypes are within a limit of squared distance.

        For cosines that are neither scaled nor bent.

        Args:
            limit: [B], the squared distance at which a wrong prototype begins to count.
            hardest_only: Look at the nearest wrong prototype alone.

        Returns:
            [B]: sum_j max(0, limit - |x~ - W~_j|^2) over the wrong identities j.
            [B]: how many of them count, without gradient.
            How many were looked at, at least 1.
        """
        lowest = 1 - limit / 2
        if hardest_only:
            excess = (self._reduced(Hardest(self._like))[0] - lowest).clamp_min(0)
            return 2 * excess, excess.detach().sign(), 1
        sums, counts = self._reduced(HingeSum(lowest))
        return 2 * sums, counts[0], (self._work.watched[0] - 1).clamp_min(1)

    def _reduced(self, loss: Loss) -> tuple[Tensor, Tensor]:
        assert not self._taken, "the gradients of a comparison are those of one loss"
        self._taken = True
        losses, others = Reduce.apply(self._work, loss, self._token, loss.given)
        return losses, others


def cosine_scores(
    rows: Rows,
    embeddings: Tensor,
    scale: Tensor | float = 1.0,
    bend: Bend | None = None,
    shift: Tensor | None = None,
) -> Scores:
    """Return the scores by scaled cosines.

    Args:
        rows: The prototypes to compare with, such as `prototypes.rows(labels)`.
        embeddings: [B, D].
        scale: Factor of the wrong cosines: a number, or a tensor of one or of B elements. A `bend`
            sees scaled cosines.
        bend: What becomes of the wrong cosines, if they do not stay as they are.
        shift: Added to the wrong logits: 0-d, or one for each row without a gradient.
    """
    factor = scale[:, None] if isinstance(scale, Tensor) and scale.ndim else scale
    x = normalize(embeddings) * factor
    return Scores(CosineSimilarity(), x, rows, scale=scale, bend=bend, shift=shift)


def dot_scores(
    rows: Rows, embeddings: Tensor, bias: Tensor | None = None, shift: Tensor | None = None
) -> Scores:
    """Return the scores by W . x + b, b one for each row, or none; see `cosine_scores`."""
    return Scores(DotSimilarity(), embeddings, rows, bias, shift=shift)


def kernel_scores(rows: Rows, x: Tensor, scale: float, gamma: Tensor) -> Scores:
    """Return the scores by s exp(-|x - W|^2 / gamma), gamma 0-d."""
    return Scores(KernelSimilarity(scale, gamma), x, rows)


def squared(cosine: Tensor) -> Tensor:
    """Return |x~ - W~|^2 of unit vectors: 2 - 2 cos."""
    return 2 - 2 * cosine


def _of(tensor: Tensor | None, like: Tensor) -> Tensor | None:
    return None if tensor is None else tensor.to(like.dtype)
