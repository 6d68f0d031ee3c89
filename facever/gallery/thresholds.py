"""The stored operating points and calibrations of a gallery."""

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
    """Return the stored operating points or calibrations by name: usable and unusable ones."""
    return read_stored(kind, store.measured(kind.what))


def add(store: Store, name: str, measured: Measured) -> None:
    """Store an operating point or calibration under a name; see `Gallery.add_operating_point`."""
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
    """Return the chosen operating point, checked against the gallery's model and scores.

    Args:
        store: The gallery's store.
        given: An operating point, the name of a stored one, or None for the only stored one.
        kinds: Kinds that can decide; only these are used when `given` is None.

    Raises:
        GalleryError: The given one does not exist, cannot be used, or is for another model.
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
    """Refuse a given calibration for another model or for other scores.

    Raises:
        GalleryError: It is for another model, or not for cosine similarity.
    """
    if isinstance(calibration, ScoreCalibration):
        _require_gallerys(store, calibration)


def findings(store: Store) -> Iterator[Finding]:
    """Yield the operating points and calibrations that cannot be used or are for another model."""
    stored = [kept(store, kind) for kind in KINDS]
    for _, unusable in stored:
        for broken in unusable.values():
            yield Finding("decisions", f"{broken.reason}; remove it")
    for usable, _ in stored:
        for name, one in usable.items():
            if one.fingerprint not in (store.binding.fingerprint, *store.equivalents):
                yield Finding(
                    "decisions", f"{shown(name)} is for another model, {one.fingerprint}: remove it"
                )


def _require_gallerys(store: Store, measured: Measured) -> None:
    own, given = store.binding.fingerprint, measured.fingerprint
    require_fit(measured, given if given and given in store.equivalents else own, "the gallery")
    require_cosine(measured)


def _misfits(store: Store, name: str, measured: Measured) -> list[str]:
    """Return why an operating point or calibration does not fit the gallery now."""
    templates, (people, images) = store.settings.templates, store.counts()
    if measured.kind == "1:N":
        wrong = misfit_in_search(measured, people, measured.score_rule, templates)
    else:
        wrong = misfit_in_verification(measured, templates)
    found = [f"{shown(name)} will not be used: {wrong}"] if wrong else []
    photos = store.photo_count()
    if measured.images == "crops" and photos:
        found.append(
            f"{shown(name)} was measured on crops, but {photos:,} of {images:,} images of the "
            "gallery are photos: its rates may differ"
        )
    if measured.images == "photos" and photos < images:
        found.append(
            f"{shown(name)} was measured on photos, but {images - photos:,} of {images:,} "
            "images of the gallery are crops: its rates may differ"
        )
    return found


def _rivals(store: Store, name: str, point: OperatingPoint) -> list[str]:
    """Return a message if an operating point is not the only one of its kind."""
    many = point.kind == "1:N"
    points, _ = kept(store, OperatingPoint)
    rivals = [key for key, one in points.items() if (one.kind == "1:N") == many]
    if not rivals:
        return []
    verb, kind = ("searches", "1:N") if many else ("verifications", "1:1")
    return [
        f"{verb} now decide only if they name one of the {kind} operating points "
        f"{', '.join(map(plain, [*rivals, name]))}"
    ]
