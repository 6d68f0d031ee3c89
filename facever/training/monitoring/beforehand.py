"""Settings that are known to collapse, reported before a training begins."""

from facever.core.console import warn
from facever.models.embedder import WITH_NORM
from facever.training.config import TrainConfig


def warn_of_collapse(config: TrainConfig) -> None:
    """Print the `risks` of a training."""
    for risk in risks(config):
        warn(risk)


def risks(config: TrainConfig) -> list[str]:
    """Return a line for each head that may learn nothing behind this neck.

    A BatchNorm after the embedding's linear layer keeps embeddings apart. Without it they can come
    so close together, or go so far away, that no gradient brings them back.
    """
    found = []
    for head in config.heads:
        if config.model.neck in WITH_NORM and head.input == "embedding":
            continue
        risk = head.risk_without_norm()
        if risk is not None:
            remedy = "" if head.input == "before_norm" else f", or model.neck: {WITH_NORM[1]}"
            found.append(f"head '{head.name}' behind a neck without BatchNorm: {risk}{remedy}")
    return found
