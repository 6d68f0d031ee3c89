"""The family of heads that are a softmax over scaled cosines with a changed target."""

from abc import abstractmethod

from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.losses import softmax_loss
from facever.heads.prototypes import Prototypes, with_target


class CosineSoftmaxHead(Head):
    """Softmax over `scale * cosine`, where a subclass changes the target cosine.

    A subclass implements `change_target`, and `scale` where it is not the configuration's.
    """

    def __init__(self, config: HeadConfig, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)

    @property
    @abstractmethod
    def scale(self) -> Tensor | float:
        """The factor of the cosines."""

    @abstractmethod
    def change_target(self, cosine: Tensor) -> Tensor:
        """Return what takes the place of the target cosines [B]."""

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy of `scale * cosine` with the target changed."""
        scale = self.scale
        similarities = self.prototypes.cosine(embeddings, labels, scale)
        target = similarities.target.detach()
        changed = scale * self.change_target(similarities.target)
        logits = with_target(similarities, changed, labels)
        stats = {
            "target_cosine": target.mean(),
            "accuracy": (target > similarities.hardest).to(target.dtype).mean(),
            "embedding_norm": mean_norm(embeddings),
            "prototype_norm": similarities.norms.mean(),
            "scale": target.new_tensor(scale) if isinstance(scale, float) else scale.detach(),
        }
        if self.identities > 1:
            stats["hardest_wrong_cosine"] = similarities.hardest.mean()
        return HeadOutput(softmax_loss(logits, labels), logits, stats)
