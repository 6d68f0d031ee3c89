"""What a store holds, read."""

import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import (
    Audited,
    Change,
    Keys,
    PersonImages,
    Row,
    StoredImage,
    Vectors,
    shown,
    text,
)
from facever.gallery.store.coding import decoded
from facever.gallery.store.deriving import entry_table
from facever.gallery.store.file import StoreFile
from facever.gallery.store.filtering import checked_where, fits, narrowed
from facever.gallery.store.statements import among, key_of, metadata_of

_ROWS_AT_ONCE = 4096


class Reading(StoreFile):
    """The questions to a store."""

    def __init__(self, path: Path, wait: float) -> None:
        super().__init__(path, wait)
        self._counted = Change(0, ""), (0, 0, 0)

    # -- changes and entries, for what follows the store ------------------------------------

    def change(self) -> Change:
        """Return the newest change."""
        with self.reading() as db:
            return Change(
                *db.execute(
                    "SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
                ).fetchone()
            )

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
        with self.reading() as db:
            newest = self.change()
            if newest != self._counted[0]:
                tables = ("people", "images", entry_table(self.settings)[0])
                people, images, entries = (
                    int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                    for table in tables
                )
                self._counted = newest, (people, images, entries)
            return self._counted[1]

    def entries_after(self, number: int, limit: int | None = None) -> tuple[Keys, Keys, Vectors]:
        """Return the numbers and people's keys [N] and vectors [N, D] of entries after one.

        Args:
            number: Of an entry.
            limit: How many at most, the first ones; by default all.
        """
        with self.reading() as db:
            table, name = entry_table(self.settings)
            rows = db.execute(
                f"SELECT {name}, person, vector FROM {table} WHERE {name} > ? ORDER BY {name} "
                "LIMIT ?",
                [number, -1 if limit is None else limit],
            ).fetchall()
            numbers, owners, blobs = zip(*rows, strict=True) if rows else ((), (), ())
            vectors = self._matrix(blobs)
        return np.array(numbers, np.int64), np.array(owners, np.int64), vectors

    def entries_removed_after(self, change: int) -> Keys:
        """Return the numbers of the entries that were removed after a change."""
        with self.reading() as db:
            rows = db.execute("SELECT entry FROM removed WHERE change > ?", [change]).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    # -- people -----------------------------------------------------------------------------

    def ids(self, keys: Iterable[int]) -> dict[int, str]:
        """Return the person ids of people's keys; keys that are gone are left out."""
        with self.reading() as db:
            sql = "SELECT person, id FROM people WHERE person IN ({})"
            return dict(among(db, sql, list(keys)))

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
                if not conditions or fits(json.loads(metadata), conditions):
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
                f"SELECT person, metadata FROM people WHERE {text_} ORDER BY person", values
            )
            found = [person for person, known in rows if fits(json.loads(known), conditions)]
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

        Raises:
            GalleryError: No such person, or one without images.
        """
        with self.reading() as db:
            table, name = entry_table(self.settings)
            sql = f"SELECT vector FROM {table} JOIN people USING (person) WHERE id = ?"
            rows = db.execute(f"{sql} ORDER BY {name}", [text(person, "a person id")]).fetchall()
            if not rows:
                raise GalleryError(f"nobody with images is enrolled as {shown(person)}")
            return self._matrix([blob for (blob,) in rows])

    def image_vectors(self) -> Iterator[tuple[Keys, Vectors]]:
        """Yield people's keys [n] and the vectors [n, D] of all images, some at a time."""
        sql = "SELECT image, person, vector FROM images WHERE image > ? ORDER BY image LIMIT ?"
        last = 0
        while True:
            with self.reading() as db:
                rows = db.execute(sql, [last, _ROWS_AT_ONCE]).fetchall()
                if not rows:
                    return
                numbers, keys, blobs = zip(*rows, strict=True)
                vectors = self._matrix(blobs)
            yield np.array(keys, np.int64), vectors
            last = numbers[-1]

    def rows(self) -> Iterator[tuple[list[Row], Vectors]]:
        """Yield all images and their vectors [n, D], some at a time; within one `reading`."""
        sql = (
            "SELECT i.image, i.vector, p.id, p.metadata, i.source, i.hash, i.enrolled, i.norm,"
            " i.quality FROM images i JOIN people p USING (person) WHERE i.image > ?"
            f" ORDER BY i.image LIMIT {_ROWS_AT_ONCE}"
        )
        last = 0
        while True:
            with self.reading() as db:
                found = db.execute(sql, [last]).fetchall()
                if not found:
                    return
                vectors = self._matrix([row[1] for row in found])
            yield [Row(*row[2:]) for row in found], vectors
            last = found[-1][0]

    def without_images(self) -> dict[str, str]:
        """Return the metadata, as JSON, of the people who have no image, by their ids."""
        sql = "SELECT id, metadata FROM people WHERE person NOT IN (SELECT person FROM images)"
        with self.reading() as db:
            return dict(db.execute(f"{sql} ORDER BY person"))

    def images(self, person: str) -> list[StoredImage]:
        """Return what is known of a person's images.

        Raises:
            GalleryError: No such person.
        """
        with self.reading() as db:
            sql = "SELECT image, source, hash, enrolled, norm, quality FROM images WHERE person = ?"
            rows = db.execute(f"{sql} ORDER BY image", [key_of(db, person)])
            return [StoredImage(*row) for row in rows]

    def _matrix(self, blobs: Sequence[bytes]) -> Vectors:
        try:
            return decoded(blobs, self.settings.storage, self.binding.dimension)
        except ValueError as error:
            raise GalleryError(f"{self.path} is damaged: it holds {error}") from error

    # -- what is kept beside them -----------------------------------------------------------

    def operating_points(self) -> dict[str, str]:
        """Return the JSON of every operating point by its name."""
        with self.reading() as db:
            return dict(db.execute("SELECT name, point FROM operating_points ORDER BY name"))

    def calibrations(self) -> dict[str, str]:
        """Return the JSON of every calibration by its name."""
        with self.reading() as db:
            return dict(db.execute("SELECT name, calibration FROM calibrations ORDER BY name"))

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
