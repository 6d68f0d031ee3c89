"""Which operating points decide what, and what is said where none does."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from facever.errors import GalleryError, unknown
from facever.evaluation.operating_point import OperatingPoint, ScoreRule

_OUTGROWN = 2  # times the people that a 1:N operating point was measured with


class Decision(NamedTuple):
    """What decides, and why nothing does or what to know about it."""

    point: OperatingPoint | None
    note: str = ""
    implied_rate: float | None = None


def chosen(
    given: OperatingPoint | str | None,
    stored: Mapping[str, OperatingPoint],
    kinds: tuple[str, ...],
) -> Decision:
    """Return the operating point that is meant: the one given, one by name, or the only one.

    Args:
        given: An operating point, the name of a stored one, or None.
        stored: The gallery's own, by name.
        kinds: Which kinds answer the question; only these are taken unasked.

    Raises:
        GalleryError: No operating point of that name.
    """
    if isinstance(given, OperatingPoint):
        return Decision(given)
    if given is not None:
        if given not in stored:
            raise GalleryError(unknown("operating point", given, stored))
        return Decision(stored[given])
    fitting = {name: point for name, point in stored.items() if point.kind in kinds}
    if len(fitting) == 1:
        return Decision(next(iter(fitting.values())))
    asked = "1:N" if "1:N" in kinds else "1:1"
    if fitting:
        names = ", ".join(fitting)
        return Decision(None, f"scores only: name one of the {asked} operating points ({names})")
    return Decision(None, f"scores only: there is no {asked} operating point to decide by")


def require_fit(point: OperatingPoint, fingerprint: str, whose: str) -> None:
    """Refuse an operating point of another model.

    Args:
        point: The operating point.
        fingerprint: Of the vectors that it is to judge.
        whose: Whose the vectors are, for the message: "the gallery" or "the model".

    Raises:
        GalleryError: It is; both fingerprints are shown.
    """
    if point.fingerprint != fingerprint:
        raise GalleryError(
            f"the operating point is of fingerprint {point.fingerprint}, {whose} of {fingerprint}: "
            "measure one on this model's own scores"
        )


def require_cosine(point: OperatingPoint) -> None:
    """Refuse an operating point for anything but the cosines that a gallery compares by.

    Raises:
        GalleryError: It is for another similarity.
    """
    if point.similarity != "cosine":
        raise GalleryError(
            f"the operating point is for {point.similarity} scores and a gallery compares by "
            "cosine: measure one with --similarity cosine"
        )


def for_search(choice: Decision, people: int, rule: ScoreRule | None) -> Decision:
    """Return what decides a search among so many people.

    Args:
        choice: The operating point that is meant.
        people: How many people are searched.
        rule: The score rule asked for, or None.

    Raises:
        GalleryError: A 1:N operating point whose gallery was less than half as large, or whose
            score rule is another one.
    """
    point = choice.point
    if point is None:
        return choice
    if point.kind != "1:N" or point.gallery_size is None:
        implied = -math.expm1(people * math.log1p(-min(point.target_rate, 1 - 1e-16)))
        return Decision(
            None,
            f"scores only: a {point.kind} operating point does not decide a search; at its FMR of "
            f"{point.target_rate:g} about {implied:.2g} of strangers would pass among {people} "
            "people (FPIR)",
            implied,
        )
    if people > _OUTGROWN * point.gallery_size:
        raise GalleryError(
            f"the operating point was measured with {point.gallery_size} people and the gallery "
            f"has {people}, more than {_OUTGROWN} times as many: measure a new one"
        )
    if rule not in (None, point.score_rule):
        raise GalleryError(
            f"the operating point is for score rule {point.score_rule}, not for {rule}"
        )
    return choice


def for_verification(choice: Decision, images: int, rule: ScoreRule) -> Decision:
    """Return what decides whether a probe shows a person of so many images.

    Raises:
        GalleryError: A 1:N operating point.
    """
    point = choice.point
    if point is None:
        return choice
    if point.kind == "1:N":
        raise GalleryError("a 1:N operating point does not decide a verification: give a 1:1 one")
    if point.kind == "1:1-image" and rule == "max" and images > 1:
        implied = -math.expm1(images * math.log1p(-min(point.target_rate, 1 - 1e-16)))
        return Decision(
            point,
            f"the best of {images} images decides: an FMR of {point.target_rate:g} for one image "
            f"is about {implied:.2g} for this person",
            implied,
        )
    return choice
