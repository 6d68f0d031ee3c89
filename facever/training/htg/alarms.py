"""Alarms about the adversaries: each rule finds one problem and says what to try.

A problem must last for the whole span of the watch. The bounds are our choice.
"""

from collections.abc import Callable, Sequence

from facever.training.htg.config import NAME
from facever.training.monitoring.alarms import ALIKE, NEAR, mean
from facever.training.monitoring.history import Figures, Subject

_PERFECT = 0.995
"""Share of right verdicts from which on a discriminator is never wrong."""
_CHANCE = 0.55
"""Share of real and generated told apart, below which a discriminator guesses."""
_STILL = 0.01
"""Relative offset below which a generator does nothing."""
_KNOWN = 0.5
"""Share of real features of the right identity from which on the generated ones can be judged."""


class Adversaries(Subject):
    """The generator and the discriminator, as the rules see them.

    Args:
        figures: Those of the training.
        margin: m of the triplet losses.
        identities: K.
    """

    def __init__(self, figures: Figures, margin: float, identities: int) -> None:
        super().__init__(figures, NAME, NAME)
        self.margin, self.identities = margin, identities

    def troubles(self) -> dict[str, str | None]:
        """See Subject."""
        return {kind: rule(self) for kind, rule in RULES.items()}


def _discriminator_perfect(seen: Adversaries) -> str | None:
    """Find a discriminator that is never wrong."""
    real, generated = seen.span("real_accuracy"), seen.span("generated_accuracy")
    if not _all(real, lambda share: share >= _PERFECT):
        return None
    if not _all(generated, lambda share: share >= _PERFECT):
        return None
    return (
        f"the discriminator is right about {real[-1]:.1%} of the real and {generated[-1]:.1%} of "
        "the generated features: the generator gets no useful gradient from it. Lower "
        "adversarial.discriminator.optimizer.lr, raise adversarial.generator.optimizer.lr, or "
        "raise gamma"
    )


def _discriminator_at_chance(seen: Adversaries) -> str | None:
    """Find a discriminator that cannot tell real from generated, or one identity from another."""
    apart, real = seen.span("told_apart"), seen.span("real_accuracy")
    chance = 1.5 / seen.identities + 0.05
    mend = (
        "The generator learns nothing about identities from it. Raise "
        "adversarial.discriminator.optimizer.lr or beta, or lower adversarial.generator.optimizer."
        "lr; a longer pretraining gives it features that can be told apart"
    )
    if _all(apart, lambda share: share < _CHANCE):
        return (
            f"the discriminator tells {apart[-1]:.1%} of real and generated features apart; chance "
            f"level is 50 %. {mend}"
        )
    if _all(real, lambda share: share < chance):
        return (
            f"the discriminator finds the identity of {real[-1]:.1%} of the real features; chance "
            f"level is {1 / seen.identities:.1%}. {mend}"
        )
    return None


def _generator_still(seen: Adversaries) -> str | None:
    """Find a generator that does nothing."""
    offsets = seen.span("offset")
    if not _all(offsets, lambda offset: offset < _STILL):
        return None
    return (
        f"the generator moves features by {offsets[-1]:.2g} of their length: it has no effect. "
        "Raise adversarial.generator.optimizer.lr, lower gamma, or try last_activation none"
    )


def _identity_lost(seen: Adversaries) -> str | None:
    """Find generated features that are no longer of their identity."""
    real, generated = seen.span("real_kept"), seen.span("generated_kept")
    if not _all(real, lambda share: share >= _KNOWN):
        return None
    if not _all(generated, lambda share: share < min(real) / 2):
        return None
    return (
        f"{generated[-1]:.1%} of the generated features are nearest to the prototype of their "
        f"identity, of the real ones {real[-1]:.1%}: they carry no identity. Raise gamma, "
        "raise adversarial.discriminator.optimizer.lr, or lower adversarial.generator.optimizer.lr"
    )


def _embedder_collapsed(seen: Adversaries) -> str | None:
    """Find embeddings that are all alike, or mined triplets whose distances are all equal."""
    cosines, margins = seen.span("pair_cosine"), seen.span("mined_margin")
    violations = seen.span("mined_violation")
    alike = _all(cosines, lambda cosine: cosine >= ALIKE)
    # Hard triplets can be wrong as far as others are right; a point is where each is at 0.
    equal = _all(margins, lambda by: abs(by) <= NEAR * seen.margin) and _all(
        violations, lambda share: share >= 1 - NEAR
    )
    if not alike and not equal:
        return None
    return (
        f"the embeddings collapse: the mean cosine of all pairs in a batch is {cosines[-1]:.4f}, "
        f"and mined triplets differ by {mean(margins):.2g} of a margin of {seen.margin:g}. Try a "
        "lower optimizer.lr, mining semi_hard, a larger mu, or a longer pretraining"
    )


def _all(values: Sequence[float], holds: Callable[[float], bool]) -> bool:
    """Return whether there are values and each is so."""
    return bool(values) and all(map(holds, values))


RULES: dict[str, Callable[[Adversaries], str | None]] = {
    "discriminator-perfect": _discriminator_perfect,
    "discriminator-at-chance": _discriminator_at_chance,
    "generator-still": _generator_still,
    "identity-lost": _identity_lost,
    "embedder-collapsed": _embedder_collapsed,
}
"""Each alarm by its kind: a function that returns the message, or None."""
