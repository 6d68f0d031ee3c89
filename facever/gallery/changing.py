"""What changes a gallery: people come and go, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facever.core.console import warn
from facever.embeddings.template_policies import QUALITY_MEAN
from facever.errors import GalleryError, plain
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import Enrollment
from facever.gallery.checks import Conflicts, rules_for
from facever.gallery.decisions import (
    misfit_in_search,
    misfit_in_verification,
    require_cosine,
)
from facever.gallery.exports import read_export
from facever.gallery.intake import Faces, checked_vectors, failures, images_of
from facever.gallery.opened import Opened
from facever.gallery.records import Duplicates, NewImages, person_id, shown
from facever.gallery.review import Enrolled, Review
from facever.operating_point import Measured, OperatingPoint, require_fit


class _Wanted(NamedTuple):
    """What is looked for among images to be enrolled, as `rules_for` takes it."""

    duplicates: Duplicates
    near: float | None
    conflicts: Conflicts
    conflict_point: str | None


class Changing(Opened):
    """The changes; each is made whole or not at all."""

    def enroll(
        self,
        faces: Faces,
        people: str | Sequence[str] | None = None,
        *,
        fingerprint: str | None = None,
        sources: Sequence[str | None] | None = None,
        hashes: Sequence[str | None] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        duplicates: Duplicates = "skip",
        near: float | None = None,
        conflicts: Conflicts = "warn",
        conflict_point: str | None = None,
    ) -> Enrollment:
        """Add images of people: all of them, or on any error none.

        Args:
            faces: An EmbeddingSet, or unit vectors [N, D] (or one [D]). Rows of an EmbeddingSet
                whose image could not be embedded are left out and reported. Its column `quality`,
                if it has one, weighs images for the templates "quality_mean"; else the norm does.
            people: Whom the images show: one id for all, or one each; by default the identities
                of the EmbeddingSet.
            fingerprint: The origin of plain vectors, or of an undeclared EmbeddingSet.
            sources: Where each image came from; by default the paths of the EmbeddingSet.
            hashes: A hash of each image's bytes, by which duplicates are recognised; without one
                they are by their source.
            metadata: By person id, any keys and values that JSON can hold; they are added to what
                is known of the person, also of one whose images are all there already.
            duplicates: An image that is there already is left out ("skip"), enrolled all the same
                ("keep"), or makes the whole enrolment fail ("refuse"). It is reported in any case.
            near: A cosine between 0 and 1: an image that is nearer than this to one that is there
                is there already, too.
            conflicts: An image that matches another person above an operating point, enrolled or
                coming with it, is reported ("warn"), makes the whole enrolment fail ("refuse"), or
                is not looked for ("ignore").
            conflict_point: The name of that operating point; by default the gallery's only 1:N
                one, or else its only 1:1 one. Where there is none, conflicts are not looked for.

        Raises:
            GalleryError: Vectors of another model, another dimension, not of unit length or NaN;
                lengths that differ; an id that cannot be kept; a duplicate or conflict with
                "refuse"; an operating point that does not fit; another process that keeps writing;
                a full disk.
        """
        wanted = _Wanted(duplicates, near, conflicts, conflict_point)
        binding = self._store.binding
        vectors = checked_vectors(faces, fingerprint, binding)
        images = images_of(faces, vectors, people, sources, hashes)
        known = _by_person(metadata or {})
        for person in set(known) - set(images.people):
            raise GalleryError(f"metadata of {shown(person)}, whom none of these images shows")
        return self._admit(binding.fingerprint, images, failures(faces), known, wanted)

    def import_(
        self,
        path: str | Path,
        *,
        duplicates: Duplicates | None = None,
        near: float | None = None,
        conflicts: Conflicts = "warn",
        conflict_point: str | None = None,
    ) -> Enrollment:
        """Enroll what `export` wrote: people, metadata, sources, hashes, times and vectors.

        Args:
            path: The exported folder, taken whole or not at all.
            duplicates: As in `enroll`, and so are `near`, `conflicts` and `conflict_point`. By
                default an empty gallery takes every image, and another one those it has not.

        Raises:
            GalleryError: It is no export, damaged, or of another model; or as in `enroll`.
            DataError: It is not even an embedding set.
        """
        if duplicates is None:
            duplicates = "skip" if self._store.counts()[1] else "keep"
        wanted = _Wanted(duplicates, near, conflicts, conflict_point)
        binding, found = self._store.binding, read_export(Path(path))
        vectors = checked_vectors(found.faces, None, binding)
        images = replace(
            images_of(found.faces, vectors, None, None, found.hashes),
            times=found.times,
            photos=found.photos,
        )
        nobody = [person_id(person) for person in found.nobody]
        known = _by_person(found.metadata)
        return self._admit(binding.fingerprint, images, {}, known, wanted, nobody)

    def _admit(
        self,
        fingerprint: str,
        images: NewImages,
        failed: Mapping[int, str],
        metadata: Mapping[str, Mapping[str, Any]],
        wanted: "_Wanted",
        nobody: Sequence[str] = (),
    ) -> Enrollment:
        """Enroll images that are of the gallery's model, without those that failed."""
        kept = [row for row in range(len(images.people)) if row not in failed]
        coming = images.rows(kept)
        review = Review(
            Enrolled(self._store, self._index),
            self._store,
            coming,
            lambda: rules_for(
                *wanted,
                self.operating_points(),
                self._store.settings.templates,
                self._store.counts()[0],
            ),
        )
        review.prepare()
        added, new_people, found = self._store.enroll(
            coming,
            metadata,
            wanted.duplicates,
            fingerprint=fingerprint,
            review=review,
            nobody=nobody,
        )
        self._index.settle()
        return Enrollment(
            added,
            new_people,
            [replace(duplicate, index=kept[duplicate.index]) for duplicate in found],
            [(images.sources[row] or f"image {row}", reason) for row, reason in failed.items()],
            [
                replace(conflict, index=kept[conflict.index])
                for conflict in review.findings.conflicts
            ],
            review.rules.point,
            "; ".join(note for note in (review.rules.note, self._mixed(coming)) if note),
            len(images.people),
            len(set(images.people)),
            sorted(set(images.people) - set(coming.people)),
        )

    def _mixed(self, coming: NewImages) -> str:
        """Return what to know where photos come to crops, or crops to photos."""
        photos, images = self._store.photo_count(), self._store.counts()[1]
        if not coming.people or not 0 < photos < images:
            return ""
        weights = (
            "; in the templates photos weigh by their quality (0 to 100) and crops without a "
            "quality by the length of their embedding"
            if self._store.settings.templates == QUALITY_MEAN
            else ""
        )
        return (
            f"the gallery holds {photos:,} photos and {images - photos:,} crops: they are "
            f"compared, but an operating point measured on one kind may not hold for both{weights}"
        )

    def remove(self, person: str, image: str | int | None = None) -> int:
        """Remove a person, or only one image of theirs; return how many images went.

        When it returns they are in no answer of any process any more. Their bytes are overwritten
        in the store, but may stay in its log and in the index until those are written anew.

        Args:
            person: Their id.
            image: The image's source, or its number as `images` shows it; with a source, all
                images of the person from there.

        Raises:
            GalleryError: No such person or image, or another process that keeps writing.
        """
        removed = self._store.remove(person, image)
        self._index.settle()
        return removed

    def remove_all(self, people: Sequence[str]) -> int:
        """Remove people, all or on any error none, and return how many images went.

        Raises:
            GalleryError: Nobody of one of these ids, or another process that keeps writing.
        """
        removed = self._store.remove_all(people)
        self._index.settle()
        return removed

    def update(
        self,
        person: str,
        metadata: Mapping[str, Any] | None = None,
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change what is known of a person, or their id.

        Args:
            person: Their id.
            metadata: Keys and values that are added to what is known, in place of those there.
            remove_keys: Keys that are forgotten.
            new_id: Another id for the person, which nobody has.

        Raises:
            GalleryError: No such person or key, an id that is taken, or another process that keeps
                writing.
        """
        self._store.update(person, metadata or {}, remove_keys, new_id)

    def merge(self, person: str, into: str) -> int:
        """Give a person's images to another: two ids turned out to be one person.

        Where both have a key of metadata, that of `into` stays. The images get new numbers.

        Returns:
            How many images went over.

        Raises:
            GalleryError: No such person, the same one twice, or another process that keeps writing.
        """
        moved = self._store.merge(person, into)
        self._index.settle()
        return moved

    def split(self, person: str, sources_or_images: Sequence[str | int], new_person: str) -> int:
        """Give some of a person's images to a new person: one id turned out to be two people.

        Args:
            person: Whose images they are.
            sources_or_images: Their sources, or their numbers as `images` shows them.
            new_person: An id that nobody has. What is known of the other is not theirs.

        Returns:
            How many images went over. They get new numbers.

        Raises:
            GalleryError: No such person or image, all of the person's images, an id that is taken,
                or another process that keeps writing.
        """
        moved = self._store.split(person, sources_or_images, new_person)
        self._index.settle()
        return moved

    def add_operating_point(self, name: str, point: OperatingPoint) -> None:
        """Keep an operating point under a name; a warning says where it will decide nothing.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
            ConfigError: Its fields do not agree with each other.
        """
        require_fit(point, self.fingerprint, "the gallery")
        require_cosine(point)
        warnings, many = self._misfits(name, point), point.kind == "1:N"
        rivals = [
            key for key, one in self.operating_points().items() if (one.kind == "1:N") == many
        ]
        if rivals:
            verb, kind = ("searches", "1:N") if many else ("verifications", "1:1")
            warnings.append(
                f"{verb} decide from now on only where they name one of the {kind} operating "
                f"points {', '.join(map(plain, [*rivals, name]))}"
            )
        self._store.add_operating_point(name, point.kind, point.model_dump_json())
        for warning in warnings:
            warn(warning)

    def remove_operating_point(self, name: str) -> None:
        """Forget an operating point.

        Raises:
            GalleryError: There is none of that name.
        """
        self._store.remove_operating_point(name)

    def add_calibration(self, name: str, calibration: ScoreCalibration) -> None:
        """Keep a calibration under a name; a warning says where it will tell nothing.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
            ConfigError: Its fields do not agree with each other.
        """
        require_fit(calibration, self.fingerprint, "the gallery")
        require_cosine(calibration)
        warnings = self._misfits(name, calibration)
        self._store.add_calibration(name, calibration.kind, calibration.model_dump_json())
        for warning in warnings:
            warn(warning)

    def remove_calibration(self, name: str) -> None:
        """Forget a calibration.

        Raises:
            GalleryError: There is none of that name.
        """
        self._store.remove_calibration(name)

    def _misfits(self, name: str, measured: Measured) -> list[str]:
        """Return why the gallery as it is now would not be answered by something measured."""
        templates, people = self._store.settings.templates, self._store.counts()[0]
        if measured.kind == "1:N":
            wrong = misfit_in_search(measured, people, measured.score_rule, templates)
        else:
            wrong = misfit_in_verification(measured, templates)
        said = [f"{shown(name)} will not serve: {wrong}"] if wrong else []
        photos, images = self._store.photo_count(), self._store.counts()[1]
        if measured.images == "crops" and photos:
            said.append(
                f"{shown(name)} was measured on crops and {photos:,} of {images:,} images of the "
                "gallery are photos: its rates may differ"
            )
        if measured.images == "photos" and photos < images:
            said.append(
                f"{shown(name)} was measured on photos and {images - photos:,} of {images:,} "
                "images of the gallery are crops: its rates may differ"
            )
        return said


def _by_person(metadata: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return metadata by the ids of people as they are kept.

    Raises:
        GalleryError: An id that cannot be kept, or two that are one person's.
    """
    known: dict[str, Mapping[str, Any]] = {}
    for given, said in metadata.items():
        person = person_id(given)
        if person in known:
            raise GalleryError(
                f"metadata of {shown(person)} is given twice, under ids that are one"
            )
        known[person] = said
    return known
