"""The format of a store's file: new files have the current one, older files are upgraded.

An upgrade loses nothing. An invalid vector gets no checksum: it matches nobody from then on and is
reported. People whose ids become equal are reported and remain unchanged.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from facever.core.console import warn
from facever.core.text import canonical
from facever.embeddings.unit import ROUNDING, unit_rows
from facever.errors import GalleryError
from facever.gallery.checksums import checksum_of_texts, checksums_of
from facever.gallery.records import Binding, Storage, shown
from facever.gallery.storage import bytes_of, decoded, encoded, plausible
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Transaction
from facever.gallery.store.facts import under_way
from facever.gallery.store.sqlite.connection import SqliteConnection
from facever.gallery.store.sqlite.database import SqliteDatabase, explained
from facever.gallery.store.sqlite.log import require_regular
from facever.gallery.store.sqlite.schema import APPLICATION_ID, FORMAT, make_tables
from facever.gallery.store.vectors import (
    IMAGES,
    MIGRATED,
    REMEDY,
    TEMPLATES,
    VectorTable,
    columns,
    described,
    insert_checksums,
    joined,
)

_ROWS_AT_ONCE = 4096
_MOST = 10  # items listed in a message
_CHECKSUMS = 3  # the first format with checksums, and with ids in their current form
_PAGE_BYTES = 16384  # a 512-d vector takes half of SQLite's default page and would waste the rest


def make_file(path: Path, begin: Callable[[StoreConnection], None], shown_as: Path) -> None:
    """Create the file of a new store, readable by its owner only.

    Args:
        path: The file.
        begin: Writes the first rows.
        shown_as: The final path, for messages.

    Raises:
        GalleryError: The file cannot be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    made = sqlite3.connect(path, isolation_level=None, factory=SqliteConnection)
    with explained(shown_as), closing(made) as db:
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("BEGIN")
        make_tables(db)
        begin(db)
        db.execute("COMMIT")


def open_file(path: Path, wait: float, *, incomplete: bool = False) -> SqliteDatabase:
    """Open the file of a store; upgrade an older format.

    Args:
        path: The file.
        wait: Seconds to wait for another writer.
        incomplete: It may be an incomplete copy, which is not upgraded.

    Raises:
        GalleryError: There is no store, or it has a newer format, is damaged, incomplete, or cannot
            be opened.
    """
    try:
        there = path.is_file()
    except OSError as error:
        raise GalleryError(f"{path.parent} cannot be read: {error.strerror}") from error
    if not there:
        raise GalleryError(f"no gallery at {path.parent}; create one with 'facever gallery create'")
    require_regular(path)
    with explained(path, reading=True):
        database = SqliteDatabase(path, wait)
        try:
            with database.reading() as read:
                older = _is_older(read)
            if not incomplete:
                if older:
                    _upgrade(database)
                database.facts()
        except BaseException:
            database.close()
            raise
    return database


def _is_older(read: Transaction) -> bool:
    """Return whether a file has an older format.

    Raises:
        GalleryError: The file is not the store of a gallery, or has a newer format.
    """
    application = read.db.execute("PRAGMA application_id").fetchone()[0]
    version = _format_in(read.db)
    if application != APPLICATION_ID:
        raise GalleryError(f"{read.name} is not a gallery's store")
    if version > FORMAT:
        raise GalleryError(
            f"{read.name} has format {version}, newer than this facever reads ({FORMAT}); "
            "update facever (pip install -U facever)"
        )
    return version < FORMAT


def _upgrade(database: SqliteDatabase) -> None:
    if database.read_only:
        with database.reading() as read:
            version = _format_in(read.db)
        raise GalleryError(
            f"{database.path} has the older format {version} and cannot be written by this "
            "user: to upgrade it, open it once as a user with write permission"
        )
    said: list[str] = []
    with database.writing(much=True) as change:
        db = change.db
        if (version := _format_in(db)) < FORMAT:  # no one else did meanwhile
            make_tables(db, version)
            if version < _CHECKSUMS:
                facts = change.facts()
                _upgrade_measured(db)
                said += _upgrade_people(db)
                said += _upgrade_vectors(
                    db, facts.settings.storage, facts.binding.dimension, under_way(db, change.name)
                )
    for line in said:
        warn(f"{database.path} was upgraded to format {FORMAT}: {line}")


def _format_in(db: StoreConnection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _upgrade_vectors(
    db: StoreConnection, storage: Storage, dimension: int, migration: Binding | None
) -> list[str]:
    """Compute the checksums of all valid vectors, and return messages.

    Args:
        db: A connection in a transaction, with the current tables.
        storage: Storage format of the vectors.
        dimension: Dimension of the vectors.
        migration: Binding of a migration that has begun, or None.
    """
    said = []
    for table, kind, width in (
        (IMAGES, storage, dimension),
        (TEMPLATES, storage, dimension),
        (MIGRATED, "float32", 0 if migration is None else migration.dimension),
    ):
        damaged, normalised = _seal(db, table, kind, width)
        if normalised:
            said.append(
                f"{normalised} vectors of {table.name} differed from length 1 by up to 0.001 and "
                "are now"
            )
        if damaged:
            names = described(db, table, damaged[:_MOST])
            more = f" and {len(damaged) - _MOST} more" if len(damaged) > _MOST else ""
            said.append(f"{', '.join(names)}{more} are invalid and match nobody: {REMEDY}")
    return said


def _seal(
    db: StoreConnection, table: VectorTable, storage: Storage, dimension: int
) -> tuple[list[int], int]:
    """Write a table's checksums; return the numbers of damaged rows and the count of non-unit
    ones.
    """
    sql = (
        f"SELECT {columns(db, table)} FROM {joined(table)} WHERE t.{table.number} > ?"
        f" ORDER BY t.{table.number} LIMIT {_ROWS_AT_ONCE}"
    )
    size, last, normalised = bytes_of(storage, dimension), 0, 0
    damaged: list[int] = []
    while rows := db.execute(sql, [last]).fetchall():
        last = rows[-1][0]
        sound = [
            row
            for row in rows
            if isinstance(row[2], bytes) and len(row[2]) == size and isinstance(row[1], int)
        ]
        blobs = [row[2] for row in sound]
        good = plausible(blobs, storage, dimension)
        kept = [row for row, whole in zip(sound, good, strict=True) if whole]
        numbers = np.array([row[0] for row in kept], np.int64)
        owners = np.array([row[1] for row in kept], np.int64)
        vectors = decoded([row[2] for row in kept], storage, dimension)
        damaged += sorted({row[0] for row in rows} - set(numbers.tolist()))
        if storage == "float32":
            units, lengths = unit_rows(vectors)
            off = np.abs(lengths - 1) > ROUNDING
            vectors = np.where(off[:, None], units, vectors)
            blobs = list(encoded(vectors[off], storage))
            db.executemany(
                f"UPDATE {table.name} SET vector = ? WHERE {table.number} = ?",
                zip(blobs, numbers[off].tolist(), strict=True),
            )
            normalised += int(off.sum())
        insert_checksums(db, table, numbers, checksums_of(numbers, owners, vectors))
    return damaged, normalised


def _upgrade_measured(db: StoreConnection) -> None:
    """Compute the checksums of operating points and calibrations."""
    for table, column in (("operating_points", "point"), ("calibrations", "calibration")):
        texts = ", ".join(f"CAST({one} AS BLOB)" for one in ("name", "kind", column))
        rows = db.execute(f"SELECT rowid, {texts} FROM {table}").fetchall()
        db.executemany(
            f"UPDATE {table} SET checksum = ? WHERE rowid = ?",
            [(checksum_of_texts(*said), row) for row, *said in rows],
        )


def _upgrade_people(db: StoreConnection) -> list[str]:
    """Convert ids to their current stored form (`canonical`) unless two become equal; return
    messages.
    """
    by_id: dict[str, list[str]] = {}
    for (person,) in db.execute("SELECT id FROM people WHERE typeof(id) = 'text' ORDER BY person"):
        by_id.setdefault(canonical(person), []).append(person)
    renamed = [(kept, ids[0]) for kept, ids in by_id.items() if kept and ids[0] != kept]
    renamed = [(kept, before) for kept, before in renamed if len(by_id[kept]) == 1]
    db.executemany("UPDATE people SET id = ? WHERE id = ?", renamed)
    said = []
    if renamed:
        said.append(
            f"{len(renamed)} ids were converted to composed letters without surrounding spaces, "
            f"such as {shown(renamed[0][0])}"
        )
    pairs = [ids for ids in by_id.values() if len(ids) > 1]
    for ids in pairs[:_MOST]:
        said.append(
            f"these ids are equal in normal form and remain {len(ids)} people: "
            f"{', '.join(map(ascii, ids))}; if they are one person: facever gallery merge "
            f"GALLERY {shown(ids[1])} {shown(ids[0])}"
        )
    if len(pairs) > _MOST:
        said.append(f"{len(pairs) - _MOST} more names belong to several people")
    return said
