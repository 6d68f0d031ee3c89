"""What the collapse watch knows of heads: each rule finds one trouble and says what to try."""

import math
from collections.abc import Callable, Sequence

from facever.heads.base import HeadConfig
from facever.heads.common.bounds import lowest_loss, needed_scale
from facever.heads.rbf import DEAD_START
from facever.training.monitoring.history import Figures, Subject

_FLAT = 0.005
"""Share of the loss by which its halves of the span may differ where it "stays"."""
NEAR = 0.03
"""Share of its level within which a triplet loss is "at" its margin."""
ALIKE = 0.99
"""Mean cosine of all pairs above which embeddings are all alike."""
_GROWTH = 10.0
"""Factor by which lengths may grow."""
_LEAST_LAMBDA = 10.0
_LONE_SHARE = 0.1

_CROSS_ENTROPY = {
    *("softmax", "cosine", "cosface", "arcface", "combined"),
    *("adaface", "magface", "curricular", "asoftmax", "rbf"),
    *("sampled_softmax", "hierarchical_softmax"),
}


class Trace(Subject):
    """What a rule sees of one head.

    Args:
        figures: Those of the training.
        name: The head's name among the training's heads.
        config: The head's configuration.
        identities: C.
        batch: Images in a batch.
        lone: Identities with one image only, where the head compares images of one identity.
    """

    def __init__(
        self,
        figures: Figures,
        name: str,
        config: HeadConfig,
        identities: int,
        batch: int,
        lone: int,
    ) -> None:
        super().__init__(figures, name, f"head '{name}'")
        self.config, self.identities, self.batch, self.lone = config, identities, batch, lone

    def troubles(self) -> dict[str, str | None]:
        """See Subject."""
        return {kind: rule(self) for kind, rule in RULES.items()}


def _knows_nothing(trace: Trace) -> str | None:
    """Find a cross-entropy that stays where it costs to know nothing."""
    losses = trace.span("loss")
    accuracies = trace.span("accuracy") or trace.span("target_probability")
    if trace.config.name not in _CROSS_ENTROPY or not losses or not accuracies:
        return None
    half = len(losses) // 2
    older, newer = mean(losses[:half]), mean(losses[half:])
    chance, nothing = 1 / trace.identities, math.log(trace.identities)
    if abs(newer - older) > _FLAT * older or newer < 0.95 * nothing:
        return None
    if mean(accuracies) > 1.5 * chance + 0.05:
        return None
    return (
        f"the loss stays at {newer:.3g} and the accuracy at chance (to know nothing of "
        f"{trace.identities} identities costs log {trace.identities} = {nothing:.3g}, and a margin "
        "more). Try another optimizer.lr (ten times lower first), a longer "
        "schedule.warmup_epochs, a smaller margin; look at train_batch.png and whether the "
        "identities are right"
    )


def _stays_at_margin(trace: Trace) -> str | None:
    """Find a triplet loss that stays where all distances are equal."""
    margin = getattr(trace.config, "margin", None)
    if not margin:
        return None
    level = {
        "triplet": math.log1p(math.exp(margin))
        if getattr(trace.config, "soft_margin", False)
        else margin,
        "class_triplet": margin,
        "coupled_clusters": margin / 2,
    }.get(trace.config.name)
    losses = trace.span("loss")
    if level is None or not losses or any(abs(loss - level) > NEAR * level for loss in losses):
        return None
    return (
        f"the loss stays at {level:.3g}, its value where all embeddings are equally far from each "
        "other: they collapse into one point. Try a lower optimizer.lr, mining 'semi_hard' or "
        "'all' before 'batch_hard', the plain distance, or an identity head such as cosface beside "
        "it"
    )


def _all_alike(trace: Trace) -> str | None:
    """Find embeddings that all point the same way."""
    cosines = trace.span("pair_cosine")
    if not cosines or min(cosines) < ALIKE:
        return None
    return (
        f"the mean cosine of all pairs in a batch is {cosines[-1]:.4f}: all embeddings are alike. "
        "Try neck linear_bn, a lower optimizer.lr, or an identity head such as cosface beside it"
    )


def _dead_start(trace: Trace) -> str | None:
    """Find RBF kernels so far from their prototypes that no gradient comes back."""
    distance = trace.now("distance_over_gamma")
    if distance is None or distance <= DEAD_START:
        return None
    return (
        f"the mean squared distance to the prototypes is {distance:.3g} times gamma, where the "
        "kernel and its gradient vanish: it cannot learn from there. Take gamma 'following', a "
        "larger one, or normalize: true"
    )


def _no_annealing(trace: Trace) -> str | None:
    """Find an A-Softmax that begins with its whole margin."""
    begin = trace.first("annealing")
    if begin is None or begin >= _LEAST_LAMBDA or getattr(trace.config, "margin", None) == 1:
        return None
    return (
        f"A-Softmax begins with lambda {begin:.3g}, almost without annealing: from random weights "
        "it rarely converges so. Take lambda_base 1000, or variant 'stable'"
    )


def _embeddings_grow(trace: Trace) -> str | None:
    return _grows(
        trace,
        "embedding_norm",
        "embeddings",
        "Lower optimizer.lr, take neck linear_bn, or a head that compares cosines",
    )


def _prototypes_grow(trace: Trace) -> str | None:
    return _grows(
        trace,
        "prototype_norm",
        "prototypes",
        "Raise optimizer.weight_decay, lower optimizer.head_lr_scale, or take a head that compares "
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
    if trace.lone:
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


def _scale_too_small(trace: Trace) -> str | None:
    """Find a learned scale that stays below what a small loss needs."""
    scales = trace.span("scale")
    if getattr(trace.config, "scale", None) != "learned" or not scales:
        return None
    needed = needed_scale(trace.identities)
    if scales[-1] >= needed or scales[-1] > 1.01 * scales[0]:
        return None
    lowest = lowest_loss(scales[-1], trace.identities)
    return (
        f"the learned scale is {scales[-1]:.3g} and does not grow; with {trace.identities} "
        f"identities the loss cannot fall below {lowest:.3g} so. Fix the scale at "
        f"{max(20, math.ceil(needed))} or more, or raise optimizer.head_lr_scale"
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean of one value or more."""
    return sum(values) / len(values)


RULES: dict[str, Callable[[Trace], str | None]] = {
    "knows-nothing": _knows_nothing,
    "stays-at-margin": _stays_at_margin,
    "all-alike": _all_alike,
    "dead-start": _dead_start,
    "no-annealing": _no_annealing,
    "embeddings-grow": _embeddings_grow,
    "prototypes-grow": _prototypes_grow,
    "without-partner": _without_partner,
    "scale-too-small": _scale_too_small,
}
"""Every alarm by its kind: from what is seen of a head to what is said, or None."""
