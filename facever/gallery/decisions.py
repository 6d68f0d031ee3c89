"""Which operating points decide what, and what is said where none does."""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from facever.config import parse
from facever.core.json_files import parse_json
from facever.embeddings.template_policies import ALL, MEAN, QUALITY_MEAN
from facever.errors import FaceverError, GalleryError, unknown
from facever.gallery.records import shown
from facever.operating_point import Measured, OperatingPoint, ScoreRule

M = TypeVar("M", bound=Measured)

SCORES_ONLY = "scores only: "
_OUTGROWN = 2  # times the people that a 1:N operating point was measured with


class Decision(NamedTuple):
    """What decides, and why nothing does or what to know about it."""

    point: OperatingPoint | None
    note: str = ""
    implied_rate: float | None = None


class Unusable(NamedTuple):
    """A stored operating point or calibration that cannot be used: what kind it says, and why."""

    kind: str
    reason: str


def read_stored(
    kind: type[M], stored: Mapping[str, str | None]
) -> tuple[dict[str, M], dict[str, Unusable]]:
    """Return what a gallery keeps, by name, and what of it cannot be used.

    Earlier versions took fields that contradict each other; the gallery serves without these.

    Args:
        kind: OperatingPoint or ScoreCalibration.
        stored: The JSON, by name; None for one that is damaged.
    """
    usable, unusable = {}, {}
    for name, said in stored.items():
        where, values = f"{kind.what} {shown(name)}", None
        try:
            if said is None:
                raise GalleryError(f"{where}: damaged: remove it and add it again")
            values = parse_json(said)
            if not isinstance(values, dict):
                raise GalleryError(f"{where}: not a JSON object")
            usable[name] = parse(kind, values, where=where)
        except (ValueError, FaceverError) as error:
            named = values.get("kind") if isinstance(values, dict) else None
            why = str(error) if isinstance(error, FaceverError) else f"{where}: {error}"
            unusable[name] = Unusable(str(named or ""), why)
    return usable, unusable


def checked_rule(rule: str | None) -> ScoreRule | None:
    """Return a score rule, or None where none is given.

    Raises:
        GalleryError: There is none of that name.
    """
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    return rule  # type: ignore[return-value]


def joined_notes(*notes: str) -> str:
    """Return the notes that say something as one text."""
    return "; ".join(note for note in notes if note)


def chosen(
    given: OperatingPoint | str | None,
    stored: Mapping[str, OperatingPoint],
    kinds: tuple[str, ...],
    unusable: Mapping[str, Unusable] | None = None,
) -> Decision:
    """Return the operating point that is meant: the one given, one by name, or the only one.

    Args:
        given: An operating point, the name of a stored one, or None.
        stored: The gallery's own, by name.
        kinds: Which kinds answer the question; only these are taken unasked.
        unusable: What the gallery keeps and cannot use, by name.

    Raises:
        GalleryError: No operating point of that name, or one that cannot be used.
    """
    unusable = unusable or {}
    if isinstance(given, OperatingPoint):
        return Decision(given)
    if given is not None:
        if given in unusable:
            raise GalleryError(unusable[given].reason)
        if given not in stored:
            raise GalleryError(unknown("operating point", given, stored))
        return Decision(stored[given])
    fitting = {name: point for name, point in stored.items() if point.kind in kinds}
    broken = {name: one for name, one in unusable.items() if one.kind in kinds}
    if len(fitting) == 1 and not broken:
        return Decision(next(iter(fitting.values())))
    if len(broken) == 1 and not fitting:
        return Decision(None, SCORES_ONLY + next(iter(broken.values())).reason)
    asked = "1:N" if "1:N" in kinds else "1:1"
    if fitting or broken:
        names = ", ".join([*fitting, *broken])
        return Decision(None, f"{SCORES_ONLY}name one of the {asked} operating points ({names})")
    return Decision(None, f"{SCORES_ONLY}there is no {asked} operating point to decide by")


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
    named: bool = False,
) -> Decision:
    """Return what decides a search among so many people.

    A gallery that has outgrown a 1:N operating point answers scores and says why it does not
    decide: to enroll people silences no search.

    Args:
        choice: The operating point that is meant.
        people: How many people are searched.
        rule: The score rule asked for, or None.
        templates: The gallery's template policy.
        filtered: Only some of the gallery's people are searched.
        named: The caller gave it; else the gallery's own was taken.

    Raises:
        GalleryError: A named 1:N operating point whose score rule or templates are others.
    """
    point = choice.point
    if point is None:
        return choice
    if point.kind != "1:N" or point.gallery_size is None:
        implied = -math.expm1(people * math.log1p(-min(point.target_rate, 1 - 1e-16)))
        return Decision(
            None,
            f"{SCORES_ONLY}a {point.kind} operating point does not decide a search; at its FMR of "
            f"{point.target_rate:g} about {implied:.2g} of strangers would pass among {people} "
            "people (FPIR)",
            implied,
        )
    wrong = other_scores(point, rule or point.score_rule, templates)
    if wrong and named:
        raise GalleryError(wrong)
    if wrong := wrong or outgrown(point, people, filtered=filtered):
        return Decision(None, SCORES_ONLY + wrong)
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
    return other_scores(measured, rule, templates) or outgrown(measured, people, filtered=filtered)


def other_scores(measured: Measured, rule: ScoreRule | None, templates: str) -> str:
    """Return why something that was measured is for other scores than a search's, or nothing.

    Args:
        measured: An operating point or a calibration.
        rule: The score rule.
        templates: The gallery's template policy.
    """
    if measured.gallery_size is None:
        return f"a {measured.kind} {measured.what} is not for a search: give a 1:N one"
    if rule != measured.score_rule:
        return f"the {measured.what} is for score rule {measured.score_rule}, not for {rule}"
    return _other_templates(measured, templates)


def outgrown(measured: Measured, people: int, *, filtered: bool = False) -> str:
    """Return that too many people are searched for something that was measured, or nothing.

    Args:
        measured: An operating point or a calibration.
        people: How many people are searched.
        filtered: Only some of the gallery's people are searched.
    """
    size = measured.gallery_size
    if size is None or people <= _OUTGROWN * size:
        return ""
    here = f"{people} are searched" if filtered else f"the gallery has {people}"
    return (
        f"the {measured.what} was measured with {size} people and {here}, more than {_OUTGROWN} "
        "times as many: measure a new one"
    )


def for_verification(
    choice: Decision, images: int, rule: ScoreRule, templates: str = ALL, *, named: bool = False
) -> Decision:
    """Return what decides whether a probe shows a person.

    Args:
        choice: The operating point that is meant.
        images: With how many images, or templates, of the person the probe is compared.
        rule: The score rule.
        templates: The gallery's template policy.
        named: The caller gave it; else the gallery's own was taken.

    Raises:
        GalleryError: A named 1:N operating point, or one of other templates.
    """
    point = choice.point
    if point is None:
        return choice
    wrong = misfit_in_verification(point, templates)
    if wrong and named:
        raise GalleryError(wrong)
    if wrong:
        return Decision(None, SCORES_ONLY + wrong)
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
