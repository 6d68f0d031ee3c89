"""The smallest loss of a softmax over cosines, given its scale."""

import math

from facever.core.console import warn

SMALL_LOSS = 0.01


def lowest_loss(scale: float, identities: int, best_target: float = 1.0) -> float:
    """Return the smallest loss that any arrangement of prototypes and embeddings can have.

    The best arrangement is a regular simplex: the target at `best_target`, each wrong cosine at
    -1 / (C - 1). It needs an embedding size of C - 1 or more, so the true minimum may be higher.

    Args:
        scale: Factor of the cosines.
        identities: C.
        best_target: The largest target value, 1 without a margin, 1 - m for CosFace.

    Reference:
        Wang et al., NormFace, MM 2017, proposition 2; with a margin derived likewise.
    """
    if identities < 2:
        return 0.0
    gap = scale * (best_target + 1 / (identities - 1))
    return math.log1p((identities - 1) * math.exp(-gap))


def needed_scale(identities: int, best_target: float = 1.0, loss: float = SMALL_LOSS) -> float:
    """Return the smallest scale whose `lowest_loss` is `loss`."""
    if identities < 2:
        return 0.0
    gap = math.log((identities - 1) / math.expm1(loss))
    return max(gap, 0.0) / (best_target + 1 / (identities - 1))


def warn_below(name: str, scale: float, identities: int, best_target: float = 1.0) -> None:
    """Warn where a fixed scale keeps the loss from ever becoming small."""
    needed = needed_scale(identities, best_target)
    if scale < needed:
        lowest = lowest_loss(scale, identities, best_target)
        warn(
            f"head '{name}': with scale {scale:g} and {identities} identities the loss cannot fall "
            f"below {lowest:.3g}, however good the embeddings; {SMALL_LOSS} needs a scale of "
            f"{needed:.1f} or more"
        )
