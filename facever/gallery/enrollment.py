"""Enrolment: add people and images to a gallery, checked and in one change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facever.embeddings.template_policies import QUALITY_MEAN
from facever.errors import GalleryError
from facever.gallery.answers import Enrollment
from facever.gallery.checks import Conflicts, Rules, rules_for
from facever.gallery.decisions import joined_notes
from facever.gallery.export import exported_crops, read_export
from facever.gallery.index.index import Index
from facever.gallery.inputs import Cameras, Faces, Times, checked_vectors, failures, images_of
from facever.gallery.records import Duplicates, NewImages, person_id, shown
from facever.gallery.review import Enrolled, Review
from facever.gallery.store.store import Store
from facever.gallery.thresholds import kept
from facever.operating_point import OperatingPoint


class Checks(NamedTuple):
    """Checks of an enrolment; see `Gallery.enroll`."""

    duplicates: Duplicates
    near: float | None
    conflicts: Conflicts
    conflict_point: str | None


def enroll(
    store: Store,
    index: Index,
    faces: Faces,
    people: str | Sequence[str] | None,
    checks: Checks,
    *,
    fingerprint: str | None,
    sources: Sequence[str | None] | None,
    hashes: Sequence[str | None] | None,
    cameras: Cameras,
    taken: Times,
    metadata: Mapping[str, Mapping[str, Any]] | None,
) -> Enrollment:
    """Add images of people to a store; see `Gallery.enroll`."""
    binding = store.binding
    vectors = checked_vectors(faces, fingerprint, binding, store.equivalents)
    images = images_of(faces, vectors, people, sources, hashes, cameras, taken)
    known = _by_person(metadata or {})
    for person in set(known) - set(images.people):
        raise GalleryError(f"metadata of {shown(person)} is given, but no image of this person")
    return _admit(store, index, binding.fingerprint, images, failures(faces), known, checks)


def enroll_export(
    store: Store,
    index: Index,
    path: Path,
    duplicates: Duplicates | None,
    near: float | None,
    conflicts: Conflicts,
    conflict_point: str | None,
) -> Enrollment:
    """Add another gallery's export to a store; see `Gallery.import_`."""
    if duplicates is None:
        duplicates = "skip" if store.counts()[1] else "keep"
    checks = Checks(duplicates, near, conflicts, conflict_point)
    binding, found = store.binding, read_export(path)
    vectors = checked_vectors(found.faces, None, binding, store.equivalents)
    images = replace(
        images_of(found.faces, vectors, None, None, found.hashes),
        times=found.times,
        photos=found.photos,
    )
    nobody = [person_id(person) for person in found.nobody]
    known = _by_person(found.metadata)
    with exported_crops(path, found) as crops:
        images = replace(images, crops=crops)
        done = _admit(store, index, binding.fingerprint, images, {}, known, checks, nobody)
    if crops is None or store.settings.keep_crops:
        return done
    return replace(
        done,
        note=joined_notes(
            done.note, "the gallery keeps no crops: the crops of the export are left out"
        ),
    )


def _admit(
    store: Store,
    index: Index,
    fingerprint: str,
    images: NewImages,
    failed: Mapping[int, str],
    metadata: Mapping[str, Mapping[str, Any]],
    checks: Checks,
    nobody: Sequence[str] = (),
) -> Enrollment:
    """Enroll images with vectors by the gallery's model, without those that failed.

    Args:
        store: The gallery's store.
        index: The store's index.
        fingerprint: Fingerprint that the vectors were checked against.
        images: All images, including those that failed.
        failed: Reasons for missing vectors, by position.
        metadata: Metadata by person id.
        checks: Checks of the enrolment.
        nobody: Ids of people without images.
    """
    usable = [row for row in range(len(images.people)) if row not in failed]
    coming = images.rows(usable)

    def rules() -> Rules:
        points, _ = kept(store, OperatingPoint)
        return rules_for(*checks, points, store.settings.templates, store.counts()[0])

    review = Review(Enrolled(store, index), store, coming, rules)
    review.prepare()
    added, new_people, found = store.enroll(
        coming,
        metadata,
        checks.duplicates,
        fingerprint=fingerprint,
        review=review,
        nobody=nobody,
    )
    index.settle()
    return Enrollment(
        added,
        new_people,
        [replace(duplicate, index=usable[duplicate.index]) for duplicate in found],
        [(images.sources[row] or f"image {row}", reason) for row, reason in failed.items()],
        [replace(conflict, index=usable[conflict.index]) for conflict in review.findings.conflicts],
        review.rules.point,
        joined_notes(review.rules.note, _mixed(store, coming)),
        len(images.people),
        len(set(images.people)),
        sorted(set(images.people) - set(coming.people)),
    )


def _mixed(store: Store, coming: NewImages) -> str:
    """Return a note for a gallery with both photos and crops; else an empty text."""
    photos, images = store.photo_count(), store.counts()[1]
    if not coming.people or not 0 < photos < images:
        return ""
    weights = (
        "; in templates, a photo's weight is its quality (0 to 100), and the weight of a crop "
        "without quality is the norm of its embedding"
        if store.settings.templates == QUALITY_MEAN
        else ""
    )
    return (
        f"the gallery contains {photos:,} photos and {images - photos:,} crops: an operating "
        f"point measured on one kind may not be valid for both{weights}"
    )


def _by_person(metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return metadata by the stored form of people's ids.

    Raises:
        GalleryError: An id cannot be stored, or two ids are equal in stored form.
    """
    known: dict[str, Mapping[str, Any]] = {}
    for given, values in metadata.items():
        person = person_id(given)
        if person in known:
            raise GalleryError(f"metadata of {shown(person)} is given twice, with equal ids")
        known[person] = values
    return known
