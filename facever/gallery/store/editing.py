"""What is known of people changes, and who is who."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facever.errors import GalleryError
from facever.gallery.checksums import checksums_of
from facever.gallery.records import Binding, Storage, person_id, shown
from facever.gallery.store.deriving import derive
from facever.gallery.store.facts import facts_in, under_way
from facever.gallery.store.photos import copy_photos
from facever.gallery.store.removing import Removing
from facever.gallery.store.sealing import (
    IMAGES,
    MIGRATED,
    Table,
    columns,
    insert_checksums,
    joined,
    next_number,
    verified,
)
from facever.gallery.store.statements import (
    among,
    each,
    images_named,
    key_of,
    known_as,
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
            self._takes_away = bool(remove_keys)
            key = key_of(db, person)
            known = metadata_of(db, key)
            for name in remove_keys:
                if name not in known:
                    raise GalleryError(f"nothing is known of {shown(person)} under {shown(name)}")
            kept = {name: value for name, value in known.items() if name not in remove_keys}
            write_metadata(db, key, merged(person, kept, metadata))
            change = record(db, "update", people=0, images=0)
            before = known_as(db, [person])[person][0]
            after = before if new_id is None else person_id(new_id)
            if after != before:
                self._require_free(db, after)
                db.execute("UPDATE people SET id = ? WHERE person = ?", [after, key])
                self._note(db, change, "rename", {before: 0})

    def merge(self, person: str, into: str) -> int:
        """Give a person's images to another one, and return how many.

        What is known of the other one stays, and what only the first has is added to it.

        Raises:
            GalleryError: No such person, the same one twice, or the store cannot be written.
        """
        with self.writing() as db:
            gone, kept = key_of(db, person), key_of(db, into)
            before = known_as(db, [person])[person][0]
            if gone == kept:
                raise GalleryError(f"{shown(person)} cannot be merged into the same person")
            write_metadata(db, kept, {**metadata_of(db, gone), **metadata_of(db, kept)})
            sql = "SELECT image FROM images WHERE person = ? ORDER BY image"
            images = [image for (image,) in db.execute(sql, [gone])]
            change = record(db, "merge", people=1, images=len(images))
            self._give(db, change, images, gone, kept)
            self._note(db, change, "merge", {before: len(images)})
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
            new_id = person_id(new_person)
            db.execute("INSERT INTO people (id, created) VALUES (?, ?)", [new_id, later(db)])
            change = record(db, "split", people=1, images=len(images))
            self._give(db, change, images, key, key_of(db, new_id))
        return len(images)

    def _give(
        self, db: sqlite3.Connection, change: int, images: Sequence[int], of: int, to: int
    ) -> None:
        """Make images another person's; they get new numbers, as what follows the store expects.

        A vector that is damaged stays so: it gets no checksum.
        """
        facts = facts_in(db, self.path)
        named = "source, hash, enrolled, norm, quality, vector"
        first = next_number(db, IMAGES)
        fresh = dict(zip(images, range(first, first + len(images)), strict=True))
        sql = (
            f"INSERT INTO images (image, person, {named}) SELECT ?, ?, {named} FROM images"
            " WHERE image = ?"
        )
        db.executemany(sql, [(new, to, image) for image, new in fresh.items()])
        self._renew_checksums(db, IMAGES, fresh, to, facts.settings.storage, facts.binding)
        copy_photos(db, fresh)
        pending = under_way(db, self.path)
        if pending is not None:
            sql = "INSERT INTO migrated SELECT ?, norm, vector FROM migrated WHERE image = ?"
            db.executemany(sql, [(new, image) for image, new in fresh.items()])
            self._renew_checksums(db, MIGRATED, fresh, 0, "float32", pending)
        if facts.settings.templates == ALL:
            db.executemany(
                "INSERT INTO removed (entry, change) VALUES (?, ?)",
                ((image, change) for image in images),
            )
        each(db, "DELETE FROM images WHERE image IN ({})", images)
        derive(db, self._damage, facts.settings, facts.binding.dimension, change, sorted({of, to}))

    @staticmethod
    def _renew_checksums(
        db: sqlite3.Connection,
        table: Table,
        fresh: Mapping[int, int],
        owner: int,
        storage: Storage,
        binding: Binding,
    ) -> None:
        """Give copies of rows their checksums, where the rows that they were made of are whole."""
        sql = f"SELECT {columns(table)} FROM {joined(table)} WHERE t.{table.number} IN ({{}})"
        found = verified(list(among(db, sql, list(fresh))), storage, binding.dimension)
        numbers = np.array([fresh[number] for number in found.numbers.tolist()], np.int64)
        made = checksums_of(numbers, np.full(len(numbers), owner), found.vectors)
        insert_checksums(db, table, numbers, made)

    @staticmethod
    def _require_free(db: sqlite3.Connection, person: str) -> None:
        if known_as(db, [person_id(person)]):
            raise GalleryError(f"somebody is enrolled as {shown(person)} already")
