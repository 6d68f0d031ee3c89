"""The store of a gallery: one SQLite file, the truth about people, images and their vectors."""

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import (
    Binding,
    Change,
    Duplicate,
    Duplicates,
    Keys,
    NewImages,
    Vectors,
    shown,
    text,
)
from facever.gallery.store.schema import APPLICATION_ID, FORMAT, SCHEMA
from facever.gallery.store.statements import (
    add_metadata,
    among,
    explained,
    find_duplicates,
    now,
    record,
)

FILE = "gallery.db"
_PAGE_BYTES = 16384  # a 512-d vector takes half of SQLite's usual page and would waste the rest
_ROWS_AT_ONCE = 4096


class Store:
    """An open store. Use `create` or `open`.

    Threads may share one: reading and writing have a connection each, and each is used by one
    thread at a time.
    """

    def __init__(self, path: Path, wait: float) -> None:
        self.path, self._wait = path, wait
        self._reader = self._connect()
        self._writer: sqlite3.Connection | None = None
        self._counted = Change(0, ""), (0, 0)
        self._read_lock, self._write_lock = threading.RLock(), threading.RLock()

    # -- the life of the file ---------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, binding: Binding) -> None:
        """Make the file of a new, empty store in `folder`, readable by its owner only."""
        path = folder / FILE
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        facts = {**asdict(binding), "gallery": uuid.uuid4().hex, "created": now()}
        with explained(path), closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [(key, json.dumps(value, allow_nan=False)) for key, value in facts.items()],
            )
            record(db, "create", people=0, images=0)
            db.execute("COMMIT")

    @classmethod
    def open(cls, folder: Path, wait: float) -> "Store":
        """Open the store of a gallery.

        Args:
            folder: The gallery.
            wait: Seconds to wait for another writer.

        Raises:
            GalleryError: No store there, of a newer format, damaged, or not to be opened.
        """
        path = folder / FILE
        try:
            there = path.is_file()
        except OSError as error:
            raise GalleryError(f"{folder} cannot be read: {error.strerror}") from error
        if not there:
            raise GalleryError(f"no gallery at {folder}; make one with 'facever gallery create'")
        with explained(path):
            store = cls(path, wait)
            try:
                store._check()
            except BaseException:
                store.close()
                raise
        return store

    def _check(self) -> None:
        application = self._reader.execute("PRAGMA application_id").fetchone()[0]
        version = self._reader.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise GalleryError(f"{self.path} is not the store of a gallery")
        if version > FORMAT:
            raise GalleryError(
                f"{self.path} has format {version}, newer than this facever reads ({FORMAT}); "
                "update facever (pip install -U facever)"
            )
        facts = {
            key: json.loads(value) for key, value in self._reader.execute("SELECT * FROM meta")
        }
        names = Binding.__dataclass_fields__
        try:
            self.binding = Binding(**{name: facts[name] for name in names})
            self.gallery, self.created = str(facts["gallery"]), str(facts["created"])
        except KeyError as error:
            raise GalleryError(f"{self.path} is damaged: it does not say its {error}") from error

    def close(self) -> None:
        """Close the connections."""
        with self._read_lock, self._write_lock:
            self._reader.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        db = sqlite3.connect(
            uri, uri=True, timeout=self._wait, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = FULL")
        return db

    # -- transactions -----------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one state of the store throughout."""
        with self._read_lock, explained(self.path):
            if self._reader.in_transaction:
                yield self._reader
                return
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection that writes; all that it does is kept, or nothing on an error."""
        with self._write_lock, explained(self.path, self._wait):
            if self._writer is None:
                self._writer = self._connect()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    # -- what it holds ----------------------------------------------------------------------

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
        with self.reading() as db:
            newest = self.change()
            if newest != self._counted[0]:
                people = db.execute("SELECT count(*) FROM people").fetchone()[0]
                images = db.execute("SELECT count(*) FROM images").fetchone()[0]
                self._counted = newest, (people, images)
            return self._counted[1]

    def added_after(self, image: int) -> tuple[Keys, Keys, Vectors]:
        """Return image numbers, people's keys [N] and vectors [N, D] added after an image."""
        with self.reading() as db:
            where = "FROM images WHERE image > ?"
            count = db.execute(f"SELECT count(*) {where}", [image]).fetchone()[0]
            images, owners = np.empty(count, np.int64), np.empty(count, np.int64)
            vectors = np.empty((count, self.binding.dimension), np.float32)
            cursor = db.execute(f"SELECT image, person, vector {where} ORDER BY image", [image])
            at = 0
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                block = slice(at, at := at + len(rows))
                images[block], owners[block], blobs = zip(*rows, strict=True)
                vectors[block] = self._matrix(blobs)
        return images, owners, vectors

    def removed_after(self, change: int) -> Keys:
        """Return the numbers of the images that were removed after a change."""
        with self.reading() as db:
            rows = db.execute("SELECT image FROM removed WHERE change > ?", [change]).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    def ids(self, keys: Iterable[int]) -> dict[int, str]:
        """Return the person ids of people's keys; keys that are gone are left out."""
        with self.reading() as db:
            sql = "SELECT person, id FROM people WHERE person IN ({})"
            return dict(among(db, sql, list(keys)))

    def vectors_of(self, person: str) -> Vectors:
        """Return the vectors [n, D] of a person's images.

        Raises:
            GalleryError: No such person, or one without images.
        """
        with self.reading() as db:
            sql = "SELECT vector FROM images JOIN people USING (person) WHERE id = ? ORDER BY image"
            rows = db.execute(sql, [text(person, "a person id")]).fetchall()
        if not rows:
            raise GalleryError(f"nobody with images is enrolled as {shown(person)}")
        return self._matrix([blob for (blob,) in rows])

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata.

        Raises:
            GalleryError: No such person.
        """
        with self.reading() as db:
            row = db.execute(
                "SELECT metadata FROM people WHERE id = ?", [text(person, "a person id")]
            ).fetchone()
        if row is None:
            raise GalleryError(f"nobody is enrolled as {shown(person)}")
        return dict(json.loads(row[0]))

    def operating_points(self) -> dict[str, str]:
        """Return the JSON of every operating point by its name."""
        with self.reading() as db:
            return dict(db.execute("SELECT name, point FROM operating_points ORDER BY name"))

    def _matrix(self, blobs: Sequence[bytes]) -> Vectors:
        joined = np.frombuffer(b"".join(blobs), dtype="<f4")
        if joined.size != len(blobs) * self.binding.dimension:
            raise GalleryError(f"{self.path} is damaged: it holds vectors of another dimension")
        return joined.reshape(len(blobs), self.binding.dimension)

    # -- how it changes ---------------------------------------------------------------------

    def enroll(
        self,
        images: NewImages,
        metadata: Mapping[str, Mapping[str, Any]],
        duplicates: Duplicates,
    ) -> tuple[int, int, list[Duplicate]]:
        """Add images in one transaction.

        Args:
            images: What to add.
            metadata: By person id; keys are added to what is known of the person.
            duplicates: What to do with an image that is there already.

        Returns:
            The number of images and of new people, and the duplicates.

        Raises:
            GalleryError: A duplicate with "refuse", or the store cannot be written.
        """
        with self.writing() as db:
            found = list(find_duplicates(db, images))
            if found and duplicates == "refuse":
                first, more = found[0], len(found) - 1
                raise GalleryError(
                    f"{first.what()} is enrolled already as {shown(first.known_as)}"
                    f"{f' (and {more} more)' if more else ''}; nothing was enrolled"
                )
            left_out = {d.index for d in found} if duplicates == "skip" else set()
            kept = [index for index in range(len(images.people)) if index not in left_out]
            people = sorted({images.people[index] for index in kept})
            time = now()
            before = db.total_changes
            db.executemany(
                "INSERT OR IGNORE INTO people (id, created) VALUES (?, ?)",
                ((person, time) for person in people),
            )
            new_people = db.total_changes - before
            add_metadata(db, {p: metadata[p] for p in people if metadata.get(p)})
            keys = dict(among(db, "SELECT id, person FROM people WHERE id IN ({})", people))
            vectors = np.ascontiguousarray(images.vectors, dtype="<f4")
            db.executemany(
                "INSERT INTO images (person, source, hash, enrolled, norm, vector)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (
                        keys[images.people[index]],
                        images.sources[index],
                        images.hashes[index],
                        time,
                        images.norms[index],
                        vectors[index].tobytes(),
                    )
                    for index in kept
                ),
            )
            if kept:
                record(db, "enroll", people=new_people, images=len(kept))
        return len(kept), new_people, found

    def remove(self, person: str, source: str | None = None) -> int:
        """Remove a person, or only their images from one source, and return how many images went.

        Raises:
            GalleryError: No such person or image, or the store cannot be written.
        """
        text(person, "a person id")
        with self.writing() as db:
            row = db.execute("SELECT person FROM people WHERE id = ?", [person]).fetchone()
            if row is None:
                raise GalleryError(f"nobody is enrolled as {shown(person)}")
            which, values = "person = ?", [row[0]]
            if source is not None:
                which, values = "person = ? AND source = ?", [row[0], source]
            images = db.execute(f"SELECT image FROM images WHERE {which}", values).fetchall()
            if source is not None and not images:
                raise GalleryError(f"{shown(person)} has no image from {shown(source)}")
            whole = int(source is None)
            change = record(db, "remove", people=whole, images=len(images))
            db.executemany(
                "INSERT INTO removed (image, change) VALUES (?, ?)",
                ((image, change) for (image,) in images),
            )
            db.execute(f"DELETE FROM images WHERE {which}", values)
            if whole:
                db.execute("DELETE FROM people WHERE person = ?", row)
        return len(images)

    def add_operating_point(self, name: str, kind: str, point: str) -> None:
        """Keep the JSON of an operating point under a new name.

        Raises:
            GalleryError: The name is taken, or the store cannot be written.
        """
        text(name, "an operating point's name")
        with self.writing() as db:
            if db.execute("SELECT 1 FROM operating_points WHERE name = ?", [name]).fetchone():
                raise GalleryError(f"there is an operating point {shown(name)} already")
            db.execute(
                "INSERT INTO operating_points VALUES (?, ?, ?, ?)", [name, kind, point, now()]
            )
            record(db, "operating point", people=0, images=0)
