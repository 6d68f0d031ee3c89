"""How a head scores a batch against its prototypes, in the layout that they have."""

from torch import Tensor

from facever.heads.classes.scores import KeptScores, Scores
from facever.heads.classes.similarities import Cosine, Dot, Kernel
from facever.heads.classes.streamed import StreamedScores
from facever.heads.classes.vectors import Bend, Prototypes, normalize


def cosine_scores(
    prototypes: Prototypes,
    embeddings: Tensor,
    labels: Tensor,
    scale: Tensor | float = 1.0,
    bend: Bend | None = None,
) -> Scores:
    """Return the scores by scaled cosines.

    Args:
        prototypes: Those of the head.
        embeddings: [B, D].
        labels: int64 [B].
        scale: Factor of the wrong cosines: a number, or a tensor of one or of B elements. A `bend`
            sees scaled cosines.
        bend: What becomes of the wrong cosines, if they do not stay as they are.
    """
    if prototypes.layout.plain:
        return KeptScores(prototypes.cosine(embeddings, labels, scale, bend), labels)
    factor = scale[:, None] if isinstance(scale, Tensor) and scale.ndim else scale
    x = normalize(embeddings) * factor
    return StreamedScores(Cosine(), x, prototypes, labels, scale=scale, bend=bend)


def dot_scores(
    prototypes: Prototypes, embeddings: Tensor, labels: Tensor, bias: Tensor | None
) -> StreamedScores:
    """Return the scores by W . x + b, b one for each prototype held, or none."""
    return StreamedScores(Dot(), embeddings, prototypes, labels, bias)


def kernel_scores(
    prototypes: Prototypes, x: Tensor, labels: Tensor, scale: float, gamma: Tensor
) -> StreamedScores:
    """Return the scores by s exp(-|x - W|^2 / gamma), gamma 0-d."""
    return StreamedScores(Kernel(scale, gamma), x, prototypes, labels)
