"""How people and images come into a store, and what is kept beside them."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from facever.errors import GalleryError
from facever.gallery.checksums import checksum_of_texts
from facever.gallery.records import Duplicate, Duplicates, NewImages, shown, text
from facever.gallery.store.coding import encoded
from facever.gallery.store.deriving import derive
from facever.gallery.store.facts import Facts, facts_in
from facever.gallery.store.photos import write_photos
from facever.gallery.store.reading import Reading
from facever.gallery.store.sealing import IMAGES, next_number, write_checksums
from facever.gallery.store.statements import (
    among,
    find_duplicates,
    later,
    merged,
    metadata_of,
    record,
    write_metadata,
)

_MANY = 1000  # images
_ROWS_AT_ONCE = 256  # pages that SQLite holds in memory until their checksums are written

Review = Callable[[list[Duplicate]], list[Duplicate]]


class Enrolling(Reading):
    """The changes that add."""

    def duplicates_of(self, images: NewImages) -> list[Duplicate]:
        """Return the images that are there already, by hash or source."""
        with self.reading() as db:
            return list(find_duplicates(db, images))

    def enroll(
        self,
        images: NewImages,
        metadata: Mapping[str, Mapping[str, Any]],
        duplicates: Duplicates,
        *,
        fingerprint: str | None = None,
        review: Review | None = None,
        nobody: Sequence[str] = (),
    ) -> tuple[int, int, list[Duplicate]]:
        """Add images in one transaction.

        Args:
            images: What to add.
            metadata: By person id; keys are added to what is known of the person, also where no
                image of theirs is new. Who is not there afterwards is passed over.
            duplicates: What to do with an image that is there already.
            fingerprint: The gallery's when the vectors were checked against it.
            review: Given the duplicates by hash and source, it returns further ones, or refuses the
                enrolment. It is called within the transaction: nobody else writes meanwhile.
            nobody: Ids of people to add without any image.

        Returns:
            The number of images and of new people, and the duplicates.

        Raises:
            GalleryError: A duplicate with "refuse", another model since the vectors were checked,
                or the store cannot be written.
        """
        with self.writing(much=len(images.people) > _MANY) as db:
            facts = facts_in(db, self.path)
            if fingerprint not in (None, facts.binding.fingerprint):
                raise GalleryError(
                    f"the gallery is of fingerprint {facts.binding.fingerprint} now, and no more "
                    f"of {fingerprint} as these vectors: embed the images again"
                )
            found = list(find_duplicates(db, images))
            if review is not None:
                found = sorted([*found, *review(found)], key=lambda duplicate: duplicate.index)
            if found and duplicates == "refuse":
                first, more = found[0], len(found) - 1
                raise GalleryError(
                    f"{first.what()} is enrolled already as {shown(first.known_as)}"
                    f"{f' (and {more} more)' if more else ''}; nothing was enrolled"
                )
            left_out = {d.index for d in found} if duplicates == "skip" else set()
            kept = [index for index in range(len(images.people)) if index not in left_out]
            people = sorted({*nobody, *(images.people[index] for index in kept)})
            time = later(db)
            before = db.total_changes
            db.executemany(
                "INSERT OR IGNORE INTO people (id, created) VALUES (?, ?)",
                ((person, time) for person in people),
            )
            new_people = db.total_changes - before
            named = sorted({*people, *(person for person, said in metadata.items() if said)})
            keys = dict(among(db, "SELECT id, person FROM people WHERE id IN ({})", named))
            told = [person for person in named if person in keys and metadata.get(person)]
            for person in told:
                known = merged(person, metadata_of(db, keys[person]), metadata[person])
                write_metadata(db, keys[person], known)
            owners = [keys[images.people[index]] for index in kept]
            _write_images(db, facts, images, kept, owners, time)
            if kept or new_people or told:
                change = record(db, "enroll", people=new_people, images=len(kept))
                derive(
                    db,
                    self._damage,
                    facts.settings,
                    facts.binding.dimension,
                    change,
                    sorted(set(owners)),
                )
        return len(kept), new_people, found

    def add_measured(self, what: str, name: str, kind: str, written: str) -> None:
        """Keep the JSON of something measured under a new name.

        Raises:
            GalleryError: The name is taken, or the store cannot be written.
        """
        table = f"{what.replace(' ', '_')}s"
        text(name, "a name")
        with self.writing() as db:
            if db.execute(f"SELECT 1 FROM {table} WHERE name = ?", [name]).fetchone():
                raise GalleryError(f"{what} {shown(name)} already exists")
            checksum = checksum_of_texts(name.encode(), kind.encode(), written.encode())
            row = [name, kind, written, later(db), checksum]
            db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", row)
            record(db, what, people=0, images=0)

    def remove_measured(self, what: str, name: str) -> None:
        """Remove something measured.

        Raises:
            GalleryError: There is none of that name, or the store cannot be written.
        """
        table = f"{what.replace(' ', '_')}s"
        with self.writing() as db:
            if not db.execute(f"DELETE FROM {table} WHERE name = ?", [name]).rowcount:
                raise GalleryError(f"there is no {what} {shown(name)}")
            record(db, f"remove {what}", people=0, images=0)


def _write_images(
    db: sqlite3.Connection,
    facts: Facts,
    images: NewImages,
    kept: Sequence[int],
    owners: Sequence[int],
    time: str,
) -> None:
    """Write some of the images, whose people have these keys, and their checksums."""
    storage, begin = facts.settings.storage, next_number(db, IMAGES)
    times, qualities = images.times, images.qualities
    for start in range(0, len(kept), _ROWS_AT_ONCE):
        some = kept[start : start + _ROWS_AT_ONCE]
        blobs = encoded(images.vectors[some], storage)
        rows = list(zip(count(begin + start), owners[start:], blobs, strict=False))
        db.executemany(
            "INSERT INTO images (image, person, source, hash, enrolled, norm, quality, vector)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    number,
                    owner,
                    images.sources[index],
                    images.hashes[index],
                    time if times is None else times[index],
                    images.norms[index],
                    None if qualities is None else qualities[index],
                    blob,
                )
                for index, (number, owner, blob) in zip(some, rows, strict=True)
            ),
        )
        write_checksums(db, IMAGES, rows, storage, facts.binding.dimension)
        if images.photos is not None:
            said = [images.photos[index] for index in some]
            numbers = (number for number, *_ in rows)
            write_photos(
                db,
                [(n, text) for n, text in zip(numbers, said, strict=True) if text is not None],
            )
