"""The operating points and calibrations that a gallery keeps."""

from collections.abc import Iterator
from typing import TypeVar

from facever.core.console import warn
from facever.errors import GalleryError, plain
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.decisions import (
    SCORES_ONLY,
    Decision,
    Unusable,
    chosen,
    misfit_in_search,
    misfit_in_verification,
    read_stored,
    require_cosine,
)
from facever.gallery.records import Finding, shown
from facever.gallery.store.store import Store
from facever.operating_point import Measured, OperatingPoint, require_fit

M = TypeVar("M", bound=Measured)

KINDS: tuple[type[Measured], ...] = (OperatingPoint, ScoreCalibration)


def kept(store: Store, kind: type[M]) -> tuple[dict[str, M], dict[str, Unusable]]:
    """Return what a store keeps of a kind, by name: what can be used, and what cannot."""
    return read_stored(kind, store.measured(kind.what))


def add(store: Store, name: str, measured: Measured) -> None:
    """Keep something measured under a name; see `Gallery.add_operating_point`."""
    _require_gallerys(store, measured)
    warnings = _misfits(store, name, measured)
    if isinstance(measured, OperatingPoint):
        warnings += _rivals(store, name, measured)
    store.add_measured(measured.what, name, measured.kind, measured.model_dump_json())
    for warning in warnings:
        warn(warning)


def decision_of(
    store: Store, given: OperatingPoint | str | None, kinds: tuple[str, ...]
) -> Decision:
    """Return the operating point that is meant, where it is of the gallery's model and scores.

    Args:
        store: Of the gallery.
        given: An operating point, the name of a stored one, or None for the only stored one.
        kinds: Which kinds answer the question; only these are used when none is given.

    Raises:
        GalleryError: The one that is given does not exist, cannot be used, or is of another model.
    """
    points, unusable = kept(store, OperatingPoint)
    decision = chosen(given, points, kinds, unusable)
    if decision.point is None:
        return decision
    try:
        _require_gallerys(store, decision.point)
    except GalleryError as error:
        if given is not None:
            raise
        return Decision(None, f"{SCORES_ONLY}{error}")
    return decision


def require_usable(store: Store, calibration: ScoreCalibration | str | None) -> None:
    """Refuse a calibration that is given and is not of the gallery's model and scores.

    Raises:
        GalleryError: It is of another model, or not for cosines.
    """
    if isinstance(calibration, ScoreCalibration):
        _require_gallerys(store, calibration)


def findings(store: Store) -> Iterator[Finding]:
    """Yield which operating points and calibrations cannot be used, or are of another model."""
    stored = [kept(store, kind) for kind in KINDS]
    for _, unusable in stored:
        for broken in unusable.values():
            yield Finding("decisions", f"{broken.reason}; remove it")
    for usable, _ in stored:
        for name, one in usable.items():
            if one.fingerprint != store.binding.fingerprint:
                yield Finding("decisions", f"{shown(name)} is of another model, {one.fingerprint}")


def _require_gallerys(store: Store, measured: Measured) -> None:
    require_fit(measured, store.binding.fingerprint, "the gallery")
    require_cosine(measured)


def _misfits(store: Store, name: str, measured: Measured) -> list[str]:
    """Return why something measured does not fit the gallery as it is now."""
    templates, (people, images) = store.settings.templates, store.counts()
    if measured.kind == "1:N":
        wrong = misfit_in_search(measured, people, measured.score_rule, templates)
    else:
        wrong = misfit_in_verification(measured, templates)
    found = [f"{shown(name)} will not serve: {wrong}"] if wrong else []
    photos = store.photo_count()
    if measured.images == "crops" and photos:
        found.append(
            f"{shown(name)} was measured on crops and {photos:,} of {images:,} images of the "
            "gallery are photos: its rates may differ"
        )
    if measured.images == "photos" and photos < images:
        found.append(
            f"{shown(name)} was measured on photos and {images - photos:,} of {images:,} "
            "images of the gallery are crops: its rates may differ"
        )
    return found


def _rivals(store: Store, name: str, point: OperatingPoint) -> list[str]:
    """Return that an operating point is not the only one of its kind, if it is not."""
    many = point.kind == "1:N"
    points, _ = kept(store, OperatingPoint)
    rivals = [key for key, one in points.items() if (one.kind == "1:N") == many]
    if not rivals:
        return []
    verb, kind = ("searches", "1:N") if many else ("verifications", "1:1")
    return [
        f"{verb} decide from now on only where they name one of the {kind} operating points "
        f"{', '.join(map(plain, [*rivals, name]))}"
    ]
