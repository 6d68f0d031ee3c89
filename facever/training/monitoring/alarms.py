"""The rules of the collapse watch: each finds one trouble and says what to try.

None knows a head by name: `Head` says what its loss is at chance and at collapse.
"""

from collections.abc import Callable, Sequence

from facever.heads.base import Head
from facever.training.monitoring.history import Figures, Subject

_FLAT = 0.005
"""Share of the loss by which its halves of the span may differ where it "stays"."""
NEAR = 0.03
"""Share of its level within which a triplet loss is "at" its margin."""
ALIKE = 0.99
"""Mean cosine of all pairs above which embeddings are all alike."""
_GROWTH = 10.0
"""Factor by which lengths may grow."""
_LONE_SHARE = 0.1
"""Share of a batch without partner from which on it is worth a word."""


class Trace(Subject):
    """What a rule sees of one head.

    Args:
        figures: Those of the training.
        name: The head's name among the training's heads.
        head: The head.
        batch: Images in a batch.
        lone: Training identities with one image only.
    """

    def __init__(self, figures: Figures, name: str, head: Head, batch: int, lone: int) -> None:
        super().__init__(figures, name, f"head '{name}'")
        self.head, self.batch, self.lone = head, batch, lone

    def troubles(self) -> dict[str, str | None]:
        """See Subject."""
        return {kind: rule(self) for kind, rule in RULES.items()} | self.head.own_alarms(self)


def _knows_nothing(trace: Trace) -> str | None:
    """Find a loss that stays where identities are not told apart."""
    chance, losses = trace.head.loss_at_chance(), trace.span("loss")
    accuracies = trace.span("accuracy") or trace.span("target_probability")
    if chance is None or not losses or not accuracies:
        return None
    half = len(losses) // 2
    older, newer = mean(losses[:half]), mean(losses[half:])
    if abs(newer - older) > _FLAT * older or newer < 0.95 * chance:
        return None
    if mean(accuracies) > 1.5 / trace.head.identities + 0.05:
        return None
    return (
        f"the loss stays at {newer:.3g} and the accuracy at chance (the loss at chance is "
        f"{chance:.3g}; a margin adds to it). Try another optimizer.lr (ten times lower first), a "
        "longer schedule.warmup_epochs or a smaller margin; check train_batch.png and the "
        "identities"
    )


def _stays_at_margin(trace: Trace) -> str | None:
    """Find a loss that stays where all embeddings are one point."""
    level, losses = trace.head.loss_at_collapse(), trace.span("loss")
    if level is None or not losses or any(abs(loss - level) > NEAR * level for loss in losses):
        return None
    return (
        f"the loss stays at {level:.3g}, its value where all embeddings are equally far from each "
        "other: they collapse into one point. Try a lower optimizer.lr, mining 'semi_hard' or "
        "'all' before 'batch_hard', the plain distance, or an additional identity head such as "
        "cosface"
    )


def _all_alike(trace: Trace) -> str | None:
    """Find embeddings that all point the same way."""
    cosines = trace.span("pair_cosine")
    if not cosines or min(cosines) < ALIKE:
        return None
    return (
        f"the mean cosine of all pairs in a batch is {cosines[-1]:.4f}: all embeddings are alike. "
        "Try neck linear_bn, a lower optimizer.lr, or an additional identity head such as cosface"
    )


def _embeddings_grow(trace: Trace) -> str | None:
    return _grows(
        trace,
        "embedding_norm",
        "embeddings",
        "Lower optimizer.lr, use neck linear_bn, or a head that compares cosines",
    )


def _prototypes_grow(trace: Trace) -> str | None:
    return _grows(
        trace,
        "prototype_norm",
        "prototypes",
        "Raise optimizer.weight_decay, lower optimizer.head_lr_scale, or use a head that compares "
        "cosines",
    )


def _grows(trace: Trace, stat: str, what: str, mend: str) -> str | None:
    now, lowest, lengths = trace.now(stat), trace.lowest(stat), trace.span(stat)
    if now is None or lowest is None or not lengths or now < _GROWTH * lowest:
        return None
    if now < max(lengths):
        return None
    return (
        f"the {what} grow: their mean length is {now:.3g}, {now / lowest:.0f} times what it was. "
        f"{mend}"
    )


def _without_partner(trace: Trace) -> str | None:
    """Find images that a head of pairs cannot use."""
    if trace.lone and trace.head.images_per_identity > 1:
        return (
            f"{trace.lone:,} identities have one image only, and no second one to compare it "
            "with. Set batch.min_images to 2"
        )
    dropped = trace.now("dropped")
    if dropped is None or dropped <= _LONE_SHARE * trace.batch:
        return None
    return (
        f"{dropped:.0f} of {trace.batch} images of a batch find no partner of their identity, and "
        "are dropped. Set batch.images_per_identity and batch.min_images to 2 or more"
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean of one value or more."""
    return sum(values) / len(values)


RULES: dict[str, Callable[[Trace], str | None]] = {
    "knows-nothing": _knows_nothing,
    "stays-at-margin": _stays_at_margin,
    "all-alike": _all_alike,
    "embeddings-grow": _embeddings_grow,
    "prototypes-grow": _prototypes_grow,
    "without-partner": _without_partner,
}
"""Alarms that any head can give, by kind; a head has its own ones too, see `Head.own_alarms`."""
