"""Which operating points decide what, and what is said where none does."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from facever.errors import GalleryError, unknown
from facever.evaluation.operating_point import Measured, OperatingPoint, ScoreRule
from facever.evaluation.policies import ALL, MEAN, QUALITY_MEAN

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


def require_fit(point: Measured, fingerprint: str, whose: str) -> None:
    """Refuse an operating point, or a calibration, of another model.

    Args:
        point: The operating point.
        fingerprint: Of the vectors that it is to judge.
        whose: Whose the vectors are, for the message: "the gallery" or "the model".

    Raises:
        GalleryError: It is; both fingerprints are shown.
    """
    if point.fingerprint != fingerprint:
        raise GalleryError(
            f"the {point.what} is of fingerprint {point.fingerprint}, {whose} of {fingerprint}: "
            "measure one on this model's own scores"
        )


def require_cosine(point: Measured) -> None:
    """Refuse an operating point, or a calibration, for other scores than a gallery's cosines.

    Raises:
        GalleryError: It is for another similarity.
    """
    if point.similarity != "cosine":
        raise GalleryError(
            f"the {point.what} is for {point.similarity} scores and a gallery compares by "
            "cosine: measure one with --similarity cosine"
        )


def for_search(
    choice: Decision,
    people: int,
    rule: ScoreRule | None,
    templates: str = ALL,
    *,
    filtered: bool = False,
) -> Decision:
    """Return what decides a search among so many people.

    Args:
        choice: The operating point that is meant.
        people: How many people are searched.
        rule: The score rule asked for, or None.
        templates: The gallery's template policy.
        filtered: Only some of the gallery's people are searched.

    Raises:
        GalleryError: A 1:N operating point whose gallery was less than half as large, or whose
            score rule or templates are others.
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
    wrong = misfit_in_search(point, people, rule or point.score_rule, templates, filtered=filtered)
    if wrong:
        raise GalleryError(wrong)
    if filtered and people < point.gallery_size:
        return Decision(
            point,
            f"{people} people are searched and the operating point was measured with "
            f"{point.gallery_size}: it is on the safe side, fewer strangers pass",
        )
    return choice


def misfit_in_search(
    measured: Measured,
    people: int,
    rule: ScoreRule | None,
    templates: str,
    *,
    filtered: bool = False,
) -> str:
    """Return why something that was measured is not for a search, or an empty text.

    Args:
        measured: An operating point or a calibration.
        people: How many people are searched.
        rule: The score rule.
        templates: The gallery's template policy.
        filtered: Only some of the gallery's people are searched.
    """
    what = measured.what
    if measured.gallery_size is None:
        return f"a {measured.kind} {what} is not for a search: give a 1:N one"
    if people > _OUTGROWN * measured.gallery_size:
        here = f"{people} are searched" if filtered else f"the gallery has {people}"
        return (
            f"the {what} was measured with {measured.gallery_size} people and {here}, more than "
            f"{_OUTGROWN} times as many: measure a new one"
        )
    if rule != measured.score_rule:
        return f"the {what} is for score rule {measured.score_rule}, not for {rule}"
    return _other_templates(measured, templates)


def for_verification(
    choice: Decision, images: int, rule: ScoreRule, templates: str = ALL
) -> Decision:
    """Return what decides whether a probe shows a person.

    Args:
        choice: The operating point that is meant.
        images: With how many images, or templates, of the person the probe is compared.
        rule: The score rule.
        templates: The gallery's template policy.

    Raises:
        GalleryError: A 1:N operating point, or one of other templates.
    """
    point = choice.point
    if point is None:
        return choice
    wrong = misfit_in_verification(point, templates)
    if wrong:
        raise GalleryError(wrong)
    if point.kind == "1:1-image" and rule == "max" and images > 1:
        implied = -math.expm1(images * math.log1p(-min(point.target_rate, 1 - 1e-16)))
        return Decision(
            point,
            f"the best of {images} images decides: an FMR of {point.target_rate:g} for one image "
            f"is about {implied:.2g} for this person",
            implied,
        )
    return choice


def misfit_in_verification(measured: Measured, templates: str) -> str:
    """Return why something that was measured is not for a verification, or an empty text.

    What is for two images serves also where a person is compared by several of their own images,
    but not by their mean, whose scores are others.
    """
    what = measured.what
    if measured.kind == "1:N":
        return f"a 1:N {what} is not for a verification: give a 1:1 one"
    if measured.kind == "1:1-template" or templates in (MEAN, QUALITY_MEAN):
        return _other_templates(measured, templates)
    return ""


def _other_templates(measured: Measured, templates: str) -> str:
    """Return that something was measured with other templates than the gallery's, or nothing."""
    if measured.templates == templates:
        return ""
    return (
        f"the {measured.what} was measured with templates '{measured.templates}' and the gallery "
        f"compares people by '{templates}': measure one with the gallery's policy"
    )
