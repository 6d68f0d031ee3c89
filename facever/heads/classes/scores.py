"""The scores of a batch with the identities, as the losses of heads need them.

A head gives the similarity, changes the target and names the loss; whether the logits of all
identities lie in memory, are made again block by block, or are spread over processes is none of
its business: `KeptScores` here, `StreamedScores` in `streamed`; `scoring` takes the one or other.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from facever.heads.classes.class_hinge import hinges
from facever.heads.classes.losses import one_vs_all_loss, softmax_loss
from facever.heads.classes.vectors import Similarities, with_target


class Scores(ABC):
    """How alike B embeddings and the identities are, to be made into one loss.

    Attributes:
        target: [B], the similarity of each embedding to its own prototype, neither scaled nor bent.
        logits: [B, identities] once a loss has been taken, where they are kept; else None.
    """

    target: Tensor
    logits: Tensor | None = None

    @property
    @abstractmethod
    def hardest(self) -> Tensor:
        """[B], the largest similarity to another identity, as `target`; without gradient.

        -inf where there is none. It is known after the loss has been taken.
        """

    @property
    @abstractmethod
    def prototype_norm(self) -> Tensor:
        """0-d, mean length of the prototypes; known after the loss has been taken."""

    @abstractmethod
    def softmax_loss(self, own: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy with `own` [B] as the logits of the labels."""

    @abstractmethod
    def one_vs_all_loss(self, own: Tensor, bias: Tensor, own_share: float) -> Tensor:
        """Return the loss of C binary classifiers with `own` [B] at the labels, plus a 0-d bias."""

    @abstractmethod
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


class KeptScores(Scores):
    """Scores whose logits lie in memory, [B, C]."""

    def __init__(self, similarities: Similarities, labels: Tensor) -> None:
        self._similarities, self._labels = similarities, labels
        self.target = similarities.target

    @property
    def hardest(self) -> Tensor:
        """See Scores."""
        return self._similarities.hardest

    @property
    def prototype_norm(self) -> Tensor:
        """See Scores."""
        return self._similarities.norms.mean()

    def softmax_loss(self, own: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """See Scores."""
        self.logits = with_target(self._similarities, own, self._labels)
        return softmax_loss(self.logits, self._labels, label_smoothing)

    def one_vs_all_loss(self, own: Tensor, bias: Tensor, own_share: float) -> Tensor:
        """See Scores."""
        self.logits = with_target(self._similarities, own, self._labels).add_(bias)
        return one_vs_all_loss(self.logits, self._labels, own_share)

    def hinges(self, limit: Tensor, hardest_only: bool) -> tuple[Tensor, Tensor, int]:
        """See Scores."""
        sums, counts = hinges(self._similarities.wrong, limit, hardest_only)
        return sums, counts, 1 if hardest_only else max(len(self._similarities.norms) - 1, 1)
