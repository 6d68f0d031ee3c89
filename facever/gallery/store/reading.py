"""What a store holds, read."""

import hmac
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from facever.errors import GalleryError
from facever.gallery.checksums import checksum_of_texts
from facever.gallery.records import (
    Audited,
    Change,
    Entries,
    Keys,
    PersonImages,
    Row,
    StoredImage,
    Vectors,
    shown,
    text,
)
from facever.gallery.store.damage import REMEDY, Damage, is_sound
from facever.gallery.store.file import StoreFile
from facever.gallery.store.filtering import checked_where, fits, narrowed
from facever.gallery.store.photos import count_photos, landmarks_column
from facever.gallery.store.sealing import (
    IMAGES,
    WHOLE_ID,
    Table,
    Verified,
    columns,
    entry_table,
    joined,
    verified,
)
from facever.gallery.store.statements import among, key_of, known_as, metadata_in, metadata_of

_ROWS_AT_ONCE = 4096
NOTHING = "{}"


class Reading(StoreFile):
    """The questions to a store."""

    def __init__(self, path: Path, wait: float) -> None:
        super().__init__(path, wait)
        self._damage = Damage(path)

    # -- changes and entries, for what follows the store ------------------------------------

    def change(self) -> Change:
        """Return the newest change."""
        sql = "SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
        return self._remembered("change", lambda db: Change(*db.execute(sql).fetchone()))

    def had(self, change: Change) -> bool:
        """Return whether this store went through a change."""
        with self.reading() as db:
            found = db.execute("SELECT stamp FROM changes WHERE change = ?", [change.number])
            return [(change.stamp,)] == found.fetchall()

    def counts(self) -> tuple[int, int]:
        """Return the numbers of people and of images."""
        return self._counts()[:2]

    def entry_count(self) -> int:
        """Return the number of entries."""
        return self._counts()[2]

    def _counts(self) -> tuple[int, int, int]:
        def counted(db: sqlite3.Connection) -> tuple[int, int, int]:
            tables = ("people", "images", entry_table(self.settings).name)
            people, images, entries = (
                int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables
            )
            return people, images, entries

        return self._remembered("counts", counted)

    def entries_after(self, number: int, limit: int | None = None) -> Entries:
        """Return the entries after a number; those that are damaged are named and left out.

        Args:
            number: Of an entry.
            limit: How many at most, the first ones; by default all. There are none only when none
                are left.
        """
        with self.reading() as db:
            table = entry_table(self.settings)
            sql = f"SELECT {columns(table)} FROM {joined(table)} WHERE t.{table.number} > ?"
            sql += f" ORDER BY t.{table.number} LIMIT ?"
            while True:
                rows = db.execute(sql, [number, -1 if limit is None else limit]).fetchall()
                found = self._verified(db, table, rows)
                if len(found.numbers) or not rows:
                    return Entries(*found[:4])
                number = rows[-1][0]

    def entries_numbered(self, numbers: Sequence[int]) -> Entries:
        """Return the entries of these numbers, ascending; those that are damaged are left out."""
        with self.reading() as db:
            table = entry_table(self.settings)
            sql = f"SELECT {columns(table)} FROM {joined(table)} WHERE t.{table.number} IN ({{}})"
            rows = sorted(among(db, sql, numbers), key=itemgetter(0))
            return Entries(*self._verified(db, table, rows)[:4])

    def entries_among(self, numbers: Keys) -> set[int]:
        """Return which of these numbers are of entries, damaged ones too."""
        with self.reading() as db:
            table = entry_table(self.settings)
            sql = f"SELECT {table.number} FROM {table.name} WHERE {table.number} IN ({{}})"
            return {number for (number,) in among(db, sql, numbers.tolist())}

    def entries_removed_after(self, change: int) -> Keys:
        """Return the numbers of the entries that were removed after a change."""
        with self.reading() as db:
            rows = db.execute("SELECT entry FROM removed WHERE change > ?", [change]).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    # -- people -----------------------------------------------------------------------------

    def ids(self, keys: Iterable[int]) -> dict[int, str]:
        """Return the person ids of people's keys; keys that are gone or damaged are left out."""
        with self.reading() as db:
            sql = f"SELECT person, id FROM people p WHERE typeof(id) = 'text' AND {WHOLE_ID}"
            return dict(among(db, sql + " AND person IN ({})", list(keys)))

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield people and how many images there are of each, as they were enrolled first.

        Args:
            where: As in `keys_where`; by default all people.

        Raises:
            GalleryError: What `keys_where` raises.
        """
        conditions = checked_where(where or {})
        text_, values = narrowed(conditions)
        sql = (
            "SELECT person, id, metadata, (SELECT count(*) FROM images i WHERE i.person = p.person)"
            f" FROM people p WHERE person > ? AND {text_} ORDER BY person LIMIT {_ROWS_AT_ONCE}"
        )
        last = 0
        while True:
            with self.reading() as db:
                rows = db.execute(sql, [last, *values]).fetchall()
            if not rows:
                return
            for _, person, metadata, images in rows:
                known = {} if not conditions else self._metadata_in(person, metadata)
                if self._is_text(person) and (not conditions or fits(known, conditions)):
                    yield PersonImages(person, images)
            last = rows[-1][0]

    def keys_where(self, where: Mapping[str, Any]) -> Keys:
        """Return the keys, ascending, of the people whose metadata is as asked.

        Args:
            where: By key of the metadata the value it has, or a list of values of which it has
                one: texts, numbers, booleans or None.

        Raises:
            GalleryError: A key or value that metadata cannot be compared with.
        """
        conditions = checked_where(where)
        text_, values = narrowed(conditions)
        with self.reading() as db:
            rows = db.execute(
                f"SELECT person, id, metadata FROM people WHERE {text_} ORDER BY person", values
            )
            found = [
                key for key, id_, known in rows if fits(self._metadata_in(id_, known), conditions)
            ]
        return np.array(found, dtype=np.int64)

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata.

        Raises:
            GalleryError: No such person.
        """
        with self.reading() as db:
            return metadata_of(db, key_of(db, person))

    # -- images -----------------------------------------------------------------------------

    def vectors_of(self, person: str) -> Vectors:
        """Return the vectors [n, D] that a person is compared by: their entries.

        Those that are damaged are named and left out.

        Raises:
            GalleryError: No such person, or one without images.
        """
        with self.reading() as db:
            table, known = entry_table(self.settings), known_as(db, [person])
            sql = f"SELECT {columns(table)} FROM {joined(table)} WHERE t.person = ?"
            sql += f" ORDER BY t.{table.number}"
            rows = db.execute(sql, [known[person][1]]).fetchall() if known else []
            if not rows:
                raise GalleryError(f"nobody with images is enrolled as {shown(person)}")
            vectors = self._verified(db, table, rows).vectors
            if not len(vectors):
                raise GalleryError(
                    f"{self.path}: all vectors of {shown(person)} are damaged: {REMEDY}"
                )
            return vectors

    def image_vectors(self) -> Iterator[tuple[Keys, Vectors]]:
        """Yield people's keys [n] and the vectors [n, D] of all images, some at a time.

        Those that are damaged are named and left out.
        """
        for rows in self._image_rows(""):
            with self.reading() as db:
                found = self._verified(db, IMAGES, rows)
            yield found.owners, found.vectors

    def rows(self) -> Iterator[tuple[list[Row], Vectors]]:
        """Yield all images and their vectors [n, D], some at a time; within one `reading`.

        A vector that is damaged is named, and NaN.
        """
        more = ", p.id, p.metadata, t.source, t.hash, t.enrolled, t.norm, t.quality, "
        with self.reading() as db:
            more += landmarks_column(db, "t.image")
        for rows in self._image_rows(more):
            with self.reading() as db:
                sound = [row for row in rows if self._is_sound(row[5], row[0], row[7:12])]
                found = self._verified(db, IMAGES, sound)
            vectors = np.full((len(sound), self.binding.dimension), np.nan, np.float32)
            at = {row[0]: place for place, row in enumerate(sound)}
            vectors[[at[number] for number in found.numbers.tolist()]] = found.vectors
            yield [Row(row[5], self._written(row[5], row[6]), *row[7:]) for row in sound], vectors

    def _image_rows(self, more: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of all images as `verified` takes them, some at a time."""
        sql = (
            f"SELECT {columns(IMAGES)}{more} FROM {joined(IMAGES)} WHERE t.image > ?"
            f" ORDER BY t.image LIMIT {_ROWS_AT_ONCE}"
        )
        last = 0
        while True:
            with self.reading() as db:
                rows = db.execute(sql, [last]).fetchall()
            if not rows:
                return
            yield rows
            last = rows[-1][0]

    def photo_count(self) -> int:
        """Return how many images were enrolled as photos."""
        with self.reading() as db:
            return count_photos(db)

    def without_images(self) -> dict[str, str]:
        """Return the metadata, as JSON, of the people who have no image, by their ids."""
        sql = "SELECT id, metadata FROM people WHERE person NOT IN (SELECT person FROM images)"
        with self.reading() as db:
            rows = db.execute(f"{sql} ORDER BY person").fetchall()
        return {id_: self._written(id_, known) for id_, known in rows if self._is_text(id_)}

    def images(self, person: str) -> list[StoredImage]:
        """Return what is known of a person's images.

        Raises:
            GalleryError: No such person.
        """
        with self.reading() as db:
            sql = "SELECT image, source, hash, enrolled, norm, quality FROM images WHERE person = ?"
            rows = db.execute(f"{sql} ORDER BY image", [key_of(db, person)]).fetchall()
        return [StoredImage(*row) for row in rows if self._is_sound(person, row[0], row[1:])]

    def _verified(
        self, db: sqlite3.Connection, table: Table, rows: Sequence[tuple[Any, ...]]
    ) -> Verified:
        """Return what is whole of rows; what is not is named, once."""
        found = verified(rows, self.settings.storage, self.binding.dimension)
        self._damage.name(db, table, found.damaged)
        return found

    def _metadata_in(self, person: object, written: object) -> dict[str, Any]:
        """Return what is known of a person; nothing, with a warning, where that is damaged."""
        known = metadata_in(written)
        if known is None:
            self._damage.say(
                f"the metadata of {shown(str(person))} is damaged: it is no JSON object"
            )
        return known or {}

    def _is_sound(self, person: object, image: int, known: Sequence[Any]) -> bool:
        """Return whether what is known of an image is what it must be; else it is named."""
        if isinstance(person, str) and is_sound(*known):
            return True
        self._damage.say(f"the row of image {image} of {shown(str(person))} is damaged")
        return False

    def _written(self, person: object, written: str) -> str:
        """Return what is known of a person as JSON; nothing, with a warning, where damaged."""
        if written == NOTHING:
            return written
        return written if self._metadata_in(person, written) else NOTHING

    def _is_text(self, person: object) -> bool:
        """Return whether a person's id is a text; one that is not is named."""
        if isinstance(person, str):
            return True
        self._damage.say(f"a person's id is damaged: {shown(repr(person))} is no text")
        return False

    # -- what is kept beside them -----------------------------------------------------------

    def measured(self, what: str) -> dict[str, str | None]:
        """Return the JSON of what is kept of a kind by its name; None for one that is damaged.

        Args:
            what: "operating point" or "calibration".
        """
        table, column = f"{what.replace(' ', '_')}s", what.rpartition(" ")[2]
        texts = ", ".join(f"CAST({one} AS BLOB)" for one in ("name", "kind", column))
        sql = f"SELECT {texts}, checksum FROM {table} ORDER BY name"
        rows = self._remembered(table, lambda db: db.execute(sql).fetchall())
        return {
            name.decode(errors="replace"): said.decode()
            if checksum_of_texts(name, kind, said) == checksum
            else None
            for name, kind, said, checksum in rows
        }

    def audit(self, mark: str | None = None) -> list[Audited]:
        """Return what was removed, the oldest first.

        Args:
            mark: Of one person only, as `mark` makes it of their id.
        """
        sql = "SELECT time, action, images, person, change FROM audit"
        with self.reading() as db:
            where = " WHERE person = ?" if mark is not None else ""
            rows = db.execute(f"{sql}{where} ORDER BY entry", [] if mark is None else [mark])
            return [Audited(*row) for row in rows]

    def mark(self, person: str) -> str:
        """Return what stands for a person's id in the audit log.

        Raises:
            GalleryError: No text.
        """
        said = text(person, "a person id").encode()
        return hmac.digest(self._known().audit_key, said, "sha256").hex()
