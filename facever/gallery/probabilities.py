"""The choice of a calibration for an answer, and the reason if none fits."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from facever.errors import GalleryError, unknown
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.decisions import (
    Unusable,
    misfit_in_search,
    misfit_in_verification,
    other_scores,
)
from facever.operating_point import ScoreRule


class Chosen(NamedTuple):
    """A calibration, and why there is none or a remark about it."""

    calibration: ScoreCalibration | None
    note: str = ""


def for_search(
    given: ScoreCalibration | str | None,
    stored: Mapping[str, ScoreCalibration],
    people: int,
    rule: ScoreRule,
    templates: str,
    *,
    filtered: bool = False,
    unusable: Mapping[str, Unusable] | None = None,
) -> Chosen:
    """Return the calibration of a search's first candidates.

    Args:
        given: A calibration, the name of a stored one, or None for the only stored one that fits.
        stored: The gallery's calibrations by name.
        people: Number of people searched.
        rule: The score rule.
        templates: The gallery's template policy.
        filtered: Whether only some of the gallery's people are searched.
        unusable: Stored calibrations that cannot be used, by name.

    Raises:
        GalleryError: The given calibration does not exist, cannot be used, or is for other scores.
    """
    return _chosen(
        given,
        {name: one for name, one in stored.items() if one.kind == "1:N"},
        stored,
        lambda one: misfit_in_search(one, people, rule, templates, filtered=filtered),
        lambda one: other_scores(one, rule, templates),
        unusable or {},
    )


def for_verification(
    given: ScoreCalibration | str | None,
    stored: Mapping[str, ScoreCalibration],
    images: int,
    rule: ScoreRule,
    templates: str,
    unusable: Mapping[str, Unusable] | None = None,
) -> Chosen:
    """Return the calibration of a verification's scores.

    Args:
        given: A calibration, the name of a stored one, or None for the only stored one that fits.
        stored: The gallery's calibrations by name.
        images: Number of images, or templates, of the person.
        rule: The score rule.
        templates: The gallery's template policy.
        unusable: Stored calibrations that cannot be used, by name.

    Raises:
        GalleryError: The given calibration does not exist, cannot be used or does not fit.
    """
    chosen = _chosen(
        given,
        {name: one for name, one in stored.items() if one.kind != "1:N"},
        stored,
        lambda one: misfit_in_verification(one, templates),
        lambda one: misfit_in_verification(one, templates),
        unusable or {},
    )
    if chosen.calibration is not None and chosen.calibration.kind == "1:1-image" and images > 1:
        of_all = "the best" if rule == "max" else "the mean"
        note = f"the calibration is for one image, not for {of_all} of {images}"
        return Chosen(chosen.calibration, note)
    return chosen


def _chosen(
    given: ScoreCalibration | str | None,
    usual: Mapping[str, ScoreCalibration],
    stored: Mapping[str, ScoreCalibration],
    misfit: Callable[[ScoreCalibration], str],
    wrong_use: Callable[[ScoreCalibration], str],
    unusable: Mapping[str, Unusable],
) -> Chosen:
    if given is not None:
        if isinstance(given, str) and given in unusable:
            raise GalleryError(unusable[given].reason)
        if isinstance(given, str) and given not in stored:
            raise GalleryError(unknown("calibration", given, stored))
        one = stored[given] if isinstance(given, str) else given
        if wrong := wrong_use(one):
            raise GalleryError(wrong)
        usual = {"": one}
    wrongs = {name: misfit(one) for name, one in usual.items()}
    fitting = [name for name, wrong in wrongs.items() if not wrong]
    if len(fitting) == 1:
        return Chosen(usual[fitting[0]])
    if fitting:
        return Chosen(None, f"no probabilities: name one of the calibrations {', '.join(fitting)}")
    reasons = [*wrongs.values(), *(one.reason for one in unusable.values())]
    return Chosen(None, f"no probabilities: {reasons[0]}" if reasons else "")
