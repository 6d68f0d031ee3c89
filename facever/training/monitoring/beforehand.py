"""Settings that are known to collapse, said before a training begins."""

from facever.core.console import warn
from facever.heads.rbf import RBF
from facever.heads.triplet import Triplet
from facever.models.embedder import WITH_NORM
from facever.training.config import TrainConfig


def warn_of_collapse(config: TrainConfig) -> None:
    """Print the `risks` of a training."""
    for risk in risks(config):
        warn(risk)


def risks(config: TrainConfig) -> list[str]:
    """Return a line for each head that is likely to learn nothing behind this neck.

    A BatchNorm after the embedding's linear layer keeps embeddings apart; without one they come so
    close together, or go so far away, that no gradient brings them back.
    """
    said = []
    for head in config.heads:
        if config.model.neck in WITH_NORM and head.input == "embedding":
            continue
        remedy = "" if head.input == "before_norm" else f", or model.neck: {WITH_NORM[1]}"
        if isinstance(head, Triplet.Config) and _stays_at_margin(head):
            said.append(
                "head 'triplet': batch_hard mining with the squared distance and a hinge often "
                "stays at the margin behind a neck without BatchNorm, with all embeddings at one "
                f"point: take distance: plain{remedy}"
            )
        if isinstance(head, RBF.Config) and head.gamma != "following" and not head.normalize:
            said.append(
                "head 'rbf': embeddings can leave the reach of a gamma that stays behind a neck "
                "without BatchNorm; the loss is then log C for good: take gamma: "
                f"following{remedy}"
            )
    return said


def _stays_at_margin(head: Triplet.Config) -> bool:
    hard = head.mining == "batch_hard" and not head.soft_margin
    return hard and head.distance == "squared" and head.normalize and head.margin > 0
