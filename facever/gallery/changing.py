"""What changes a gallery: people come and go, and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from facever.errors import GalleryError
from facever.evaluation.operating_point import OperatingPoint
from facever.gallery.answers import (
    Enrollment,
)
from facever.gallery.decisions import (
    require_cosine,
    require_fit,
)
from facever.gallery.intake import Faces, checked_vectors, failures, images_of
from facever.gallery.opened import Opened
from facever.gallery.records import Duplicates, shown


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
    ) -> Enrollment:
        """Add images of people: all of them, or on any error none.

        Args:
            faces: An EmbeddingSet, or unit vectors [N, D] (or one [D]). Rows of an EmbeddingSet
                whose image could not be embedded are left out and reported.
            people: Whom the images show: one id for all, or one each; by default the identities
                of the EmbeddingSet.
            fingerprint: The origin of plain vectors, or of an undeclared EmbeddingSet.
            sources: Where each image came from; by default the paths of the EmbeddingSet.
            hashes: A hash of each image's bytes, by which duplicates are recognised; without one
                they are by their source.
            metadata: By person id, any keys and values that JSON can hold; they are added to what
                is known of the person.
            duplicates: An image that is there already is left out ("skip"), enrolled all the same
                ("keep"), or makes the whole enrolment fail ("refuse"). It is reported in any case.

        Raises:
            GalleryError: Vectors of another model, another dimension, not of unit length or NaN;
                lengths that differ; an id that cannot be kept; a duplicate with "refuse"; another
                process that keeps writing; a full disk.
        """
        if duplicates not in ("skip", "keep", "refuse"):
            raise GalleryError(f"duplicates is {duplicates!r} (allowed: skip, keep, refuse)")
        vectors = checked_vectors(faces, fingerprint, self._store.binding)
        images = images_of(faces, vectors, people, sources, hashes)
        for person in set(metadata or {}) - set(images.people):
            raise GalleryError(f"metadata of {shown(person)}, whom none of these images shows")
        failed = failures(faces)
        kept = [row for row in range(len(vectors)) if row not in failed]
        added, new_people, found = self._store.enroll(images.rows(kept), metadata or {}, duplicates)
        self._index.settle()
        return Enrollment(
            added,
            new_people,
            [replace(duplicate, index=kept[duplicate.index]) for duplicate in found],
            [(images.sources[row] or f"image {row}", reason) for row, reason in failed.items()],
        )

    def remove(self, person: str, source: str | None = None) -> int:
        """Remove a person, or only their images from one source; return how many images went.

        When it returns they are in no answer of any process any more. Their bytes are overwritten
        in the store, but may stay in its log and in the index until those are written anew.

        Raises:
            GalleryError: No such person or image, or another process that keeps writing.
        """
        removed = self._store.remove(person, source)
        self._index.settle()
        return removed

    def add_operating_point(self, name: str, point: OperatingPoint) -> None:
        """Keep an operating point under a name.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
        """
        require_fit(point, self.fingerprint, "the gallery")
        require_cosine(point)
        self._store.add_operating_point(name, point.kind, point.model_dump_json())
