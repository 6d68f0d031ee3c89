"""What is known of people changes, and who is who."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from facever.errors import GalleryError
from facever.gallery.records import shown, text
from facever.gallery.store.deriving import derive
from facever.gallery.store.file import facts_in
from facever.gallery.store.removing import Removing
from facever.gallery.store.statements import (
    among,
    each,
    images_named,
    key_of,
    later,
    merged,
    metadata_of,
    record,
    several,
    write_metadata,
)
from facever.gallery.templates import ALL


class Editing(Removing):
    """The changes to people who are there."""

    def update(
        self,
        person: str,
        metadata: Mapping[str, Any],
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change what is known of a person, or their id.

        Raises:
            GalleryError: No such person or key, an id that is taken, or the store cannot be
                written.
        """
        several(remove_keys, "keys")
        with self.writing() as db:
            key = key_of(db, person)
            known = metadata_of(db, key)
            for name in remove_keys:
                if name not in known:
                    raise GalleryError(f"nothing is known of {shown(person)} under {shown(name)}")
            kept = {name: value for name, value in known.items() if name not in remove_keys}
            write_metadata(db, key, merged(kept, metadata))
            change = record(db, "update", people=0, images=0)
            if new_id is not None and new_id != person:
                self._require_free(db, new_id)
                db.execute("UPDATE people SET id = ? WHERE person = ?", [new_id, key])
                self._note(db, change, "rename", {person: 0})

    def merge(self, person: str, into: str) -> int:
        """Give a person's images to another one, and return how many.

        What is known of the other one stays, and what only the first has is added to it.

        Raises:
            GalleryError: No such person, the same one twice, or the store cannot be written.
        """
        with self.writing() as db:
            gone, kept = key_of(db, person), key_of(db, into)
            if gone == kept:
                raise GalleryError(f"{shown(person)} cannot be merged into the same person")
            write_metadata(db, kept, {**metadata_of(db, gone), **metadata_of(db, kept)})
            sql = "SELECT image FROM images WHERE person = ? ORDER BY image"
            images = [image for (image,) in db.execute(sql, [gone])]
            change = record(db, "merge", people=1, images=len(images))
            self._give(db, change, images, gone, kept)
            self._note(db, change, "merge", {person: len(images)})
            db.execute("DELETE FROM people WHERE person = ?", [gone])
        return len(images)

    def split(self, person: str, which: Sequence[str | int], new_person: str) -> int:
        """Give some of a person's images to a new person, and return how many.

        Args:
            person: Whose images they are.
            which: Sources of the images, or their numbers.
            new_person: An id that nobody has.

        Raises:
            GalleryError: No such person or image, all of their images, an id that is taken, or the
                store cannot be written.
        """
        several(which, "sources or numbers")
        with self.writing() as db:
            key = key_of(db, person)
            self._require_free(db, new_person)
            images = images_named(db, key, person, which)
            if not images:
                raise GalleryError(f"which images of {shown(person)} are {shown(new_person)}'s?")
            sql = "SELECT count(*) FROM images WHERE person = ?"
            if len(images) == db.execute(sql, [key]).fetchone()[0]:
                raise GalleryError(
                    f"these are all images of {shown(person)}: give the person another id instead"
                )
            db.execute("INSERT INTO people (id, created) VALUES (?, ?)", [new_person, later(db)])
            change = record(db, "split", people=1, images=len(images))
            self._give(db, change, images, key, key_of(db, new_person))
        return len(images)

    def _give(
        self, db: sqlite3.Connection, change: int, images: Sequence[int], of: int, to: int
    ) -> None:
        """Make images another person's; they get new numbers, as what follows the store expects."""
        facts = facts_in(db, self.path)
        columns = "source, hash, enrolled, norm, quality, vector"
        fresh: dict[int, int] = {}
        for image in images:
            cursor = db.execute(
                f"INSERT INTO images (person, {columns}) SELECT ?, {columns} FROM images"
                " WHERE image = ?",
                [to, image],
            )
            assert cursor.lastrowid is not None
            fresh[image] = cursor.lastrowid
        db.executemany(
            "UPDATE migrated SET image = ? WHERE image = ?",
            [(new, image) for image, new in fresh.items()],
        )
        if facts.settings.templates == ALL:
            db.executemany(
                "INSERT INTO removed (entry, change) VALUES (?, ?)",
                ((image, change) for image in images),
            )
        each(db, "DELETE FROM images WHERE image IN ({})", images)
        derive(db, facts.settings, facts.binding.dimension, change, sorted({of, to}))

    @staticmethod
    def _require_free(db: sqlite3.Connection, person: str) -> None:
        if list(among(db, "SELECT 1 FROM people WHERE id IN ({})", [text(person, "a person id")])):
            raise GalleryError(f"somebody is enrolled as {shown(person)} already")
