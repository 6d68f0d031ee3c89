"""The choice of an operating point for a decision, and the reason if none fits."""

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
_OUTGROWN = 2  # times the gallery size of a 1:N operating point


class Decision(NamedTuple):
    """The operating point that decides, and why there is none or a remark about it."""

    point: OperatingPoint | None
    note: str = ""
    implied_rate: float | None = None


class Unusable(NamedTuple):
    """A stored operating point or calibration that cannot be used: its kind, and the reason."""

    kind: str
    reason: str


def read_stored(
    kind: type[M], stored: Mapping[str, str | None]
) -> tuple[dict[str, M], dict[str, Unusable]]:
    """Return the stored operating points or calibrations by name, usable and unusable ones.

    Earlier versions accepted contradictory fields; the gallery works without such ones.

    Args:
        kind: OperatingPoint or ScoreCalibration.
        stored: The JSON by name; None for a damaged one.
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
    """Return a score rule, or None if none is given.

    Raises:
        GalleryError: There is no such rule.
    """
    if rule not in (None, "max", "mean"):
        raise GalleryError(f"rule is {rule!r} (allowed: max, mean)")
    return rule  # type: ignore[return-value]


def joined_notes(*notes: str) -> str:
    """Return the non-empty notes as one text."""
    return "; ".join(note for note in notes if note)


def chosen(
    given: OperatingPoint | str | None,
    stored: Mapping[str, OperatingPoint],
    kinds: tuple[str, ...],
    unusable: Mapping[str, Unusable] | None = None,
) -> Decision:
    """Return the operating point: the one given, the one with that name, or the only stored one.

    Args:
        given: An operating point, the name of a stored one, or None.
        stored: The gallery's operating points by name.
        kinds: Kinds that can decide; only these are used when `given` is None.
        unusable: Stored operating points that cannot be used, by name.

    Raises:
        GalleryError: There is no operating point of that name, or it cannot be used.
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
    return Decision(None, f"{SCORES_ONLY}the gallery has no {asked} operating point")


def require_cosine(point: Measured) -> None:
    """Refuse an operating point or calibration for scores other than cosine similarity.

    Raises:
        GalleryError: It is for another similarity.
    """
    if point.similarity != "cosine":
        raise GalleryError(
            f"the {point.what} is for {point.similarity} scores, but a gallery uses cosine "
            "similarity: measure one with --similarity cosine"
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
    """Return the operating point that decides a search among `people` people.

    A gallery that has outgrown a 1:N operating point returns scores and the reason why it does not
    decide, so that enrolling people never makes a search fail.

    Args:
        choice: The chosen operating point.
        people: Number of people searched.
        rule: The requested score rule, or None.
        templates: The gallery's template policy.
        filtered: Whether only some of the gallery's people are searched.
        named: Whether the caller gave the operating point.

    Raises:
        GalleryError: A given 1:N operating point has another score rule or other templates.
    """
    point = choice.point
    if point is None:
        return choice
    if point.kind != "1:N" or point.gallery_size is None:
        implied = -math.expm1(people * math.log1p(-min(point.target_rate, 1 - 1e-16)))
        return Decision(
            None,
            f"{SCORES_ONLY}a {point.kind} operating point does not decide a search; at its FMR of "
            f"{point.target_rate:g} the FPIR among {people} people would be about {implied:.2g}",
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
            f"{people} people are searched, fewer than the {point.gallery_size} of the "
            "operating point's measurement: the FPIR is lower than stated",
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
    """Return why an operating point or calibration does not fit a search; empty if it does.

    Args:
        measured: The operating point or calibration.
        people: Number of people searched.
        rule: The score rule.
        templates: The gallery's template policy.
        filtered: Whether only some of the gallery's people are searched.
    """
    return other_scores(measured, rule, templates) or outgrown(measured, people, filtered=filtered)


def other_scores(measured: Measured, rule: ScoreRule | None, templates: str) -> str:
    """Return why an operating point or calibration is for other scores; empty if it is not.

    Args:
        measured: The operating point or calibration.
        rule: The score rule.
        templates: The gallery's template policy.
    """
    if measured.gallery_size is None:
        return f"a {measured.kind} {measured.what} does not apply to a search: give a 1:N one"
    if rule != measured.score_rule:
        return f"the {measured.what} is for score rule {measured.score_rule}, not for {rule}"
    return _other_templates(measured, templates)


def outgrown(measured: Measured, people: int, *, filtered: bool = False) -> str:
    """Return a message if too many people are searched for an operating point or calibration.

    Args:
        measured: The operating point or calibration.
        people: Number of people searched.
        filtered: Whether only some of the gallery's people are searched.
    """
    size = measured.gallery_size
    if size is None or people <= _OUTGROWN * size:
        return ""
    here = f"{people} are searched" if filtered else f"the gallery has {people}"
    return (
        f"the {measured.what} was measured with {size} people, but {here}, more than "
        f"{_OUTGROWN} times as many: measure a new one"
    )


def for_verification(
    choice: Decision, images: int, rule: ScoreRule, templates: str = ALL, *, named: bool = False
) -> Decision:
    """Return the operating point that decides a verification.

    Args:
        choice: The chosen operating point.
        images: Number of images, or templates, of the person.
        rule: The score rule.
        templates: The gallery's template policy.
        named: Whether the caller gave the operating point.

    Raises:
        GalleryError: A given operating point is 1:N or has other templates.
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
    """Return why an operating point or calibration does not fit a verification; empty if it does.

    One for two images also applies to the best of several images of a person, but not to their
    mean, which has other scores.
    """
    what = measured.what
    if measured.kind == "1:N":
        return f"a 1:N {what} does not apply to a verification: give a 1:1 one"
    if measured.kind == "1:1-template" or templates in (MEAN, QUALITY_MEAN):
        return _other_templates(measured, templates)
    return ""


def _other_templates(measured: Measured, templates: str) -> str:
    """Return a message if an operating point or calibration has other templates than the
    gallery.
    """
    if measured.templates == templates:
        return ""
    return (
        f"the {measured.what} was measured with templates '{measured.templates}', but the "
        f"gallery uses '{templates}': measure one with the gallery's policy"
    )
