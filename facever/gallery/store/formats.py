"""The format of a store's file: a file is made in today's, and upgraded from an older one.

Nothing is lost in an upgrade. A vector that cannot be one gets no checksum: it matches nobody from
then on and is named. People whose ids become equal are named and stay as they are.
"""

import os
import sqlite3
import uuid
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np

from facever.core.console import warn
from facever.core.text import canonical
from facever.embeddings.unit import ROUNDING, unit_rows
from facever.errors import GalleryError
from facever.gallery.checksums import checksum_of_texts, checksums_of
from facever.gallery.records import Binding, Settings, Storage, shown
from facever.gallery.storage import bytes_of, decoded, encoded, plausible
from facever.gallery.store.database import Database, Transaction, explained, now, record
from facever.gallery.store.log import require_regular
from facever.gallery.store.schema import (
    APPLICATION_ID,
    FORMAT,
    make_tables,
    new_facts,
    under_way,
    write_facts,
)
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
_MOST = 10  # things that are named
_PAGE_BYTES = 16384  # a 512-d vector takes half of SQLite's usual page and would waste the rest


def make_file(path: Path, binding: Binding, settings: Settings, shown_as: Path) -> None:
    """Make the file of a new, empty store, readable by its owner only.

    Args:
        path: Where to make it.
        binding: What the gallery is bound to.
        settings: Of the gallery.
        shown_as: Where it will be, for messages.

    Raises:
        GalleryError: It cannot be written.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    facts = {
        **asdict(binding),
        "gallery": uuid.uuid4().hex,
        "created": now(),
        **new_facts(),
        **asdict(settings),
    }
    with explained(shown_as), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("BEGIN")
        make_tables(db)
        write_facts(db, facts)
        record(db, "create", people=0, images=0)
        db.execute("COMMIT")


def open_file(path: Path, wait: float) -> Database:
    """Open the file of a store; one of an older format is upgraded.

    Args:
        path: The file.
        wait: Seconds to wait for another writer.

    Raises:
        GalleryError: No store there, of a newer format, damaged, or not to be opened.
    """
    try:
        there = path.is_file()
    except OSError as error:
        raise GalleryError(f"{path.parent} cannot be read: {error.strerror}") from error
    if not there:
        raise GalleryError(f"no gallery at {path.parent}; make one with 'facever gallery create'")
    require_regular(path)
    with explained(path, reading=True):
        database = Database(path, wait)
        try:
            with database.reading() as read:
                older = _is_older(read)
            if older:
                _upgrade(database)
            database.facts()
        except BaseException:
            database.close()
            raise
    return database


def _is_older(read: Transaction) -> bool:
    """Return whether a file is of an older format.

    Raises:
        GalleryError: It is not the store of a gallery, or of a newer format.
    """
    application = read.db.execute("PRAGMA application_id").fetchone()[0]
    version = _format_in(read.db)
    if application != APPLICATION_ID:
        raise GalleryError(f"{read.path} is not the store of a gallery")
    if version > FORMAT:
        raise GalleryError(
            f"{read.path} has format {version}, newer than this facever reads ({FORMAT}); "
            "update facever (pip install -U facever)"
        )
    return version < FORMAT


def _upgrade(database: Database) -> None:
    if database.read_only:
        with database.reading() as read:
            version = _format_in(read.db)
        raise GalleryError(
            f"{database.path} has the older format {version} and cannot be written by this user: "
            "open it once as a user who may write, and it is upgraded"
        )
    said: list[str] = []
    with database.writing(much=True) as change:
        db = change.db
        if (version := _format_in(db)) < FORMAT:  # nobody else did meanwhile
            make_tables(db, version)
            facts = change.facts()
            _upgrade_measured(db)
            said += _upgrade_people(db)
            said += _upgrade_vectors(
                db, facts.settings.storage, facts.binding.dimension, under_way(db, change.path)
            )
    for line in said:
        warn(f"{database.path} was upgraded to format {FORMAT}: {line}")


def _format_in(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _upgrade_vectors(
    db: sqlite3.Connection, storage: Storage, dimension: int, migration: Binding | None
) -> list[str]:
    """Make the checksum of every vector that can be one, and return what to say.

    Args:
        db: A transaction has begun, and the tables are those of today.
        storage: How vectors are written.
        dimension: Of the vectors.
        migration: What a migration that has begun moves to.
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
                f"{normalised} vectors of {table.name} were of length 1 only to within 0.001 and "
                "are now"
            )
        if damaged:
            names = described(db, table, damaged[:_MOST])
            more = f" and {len(damaged) - _MOST} more" if len(damaged) > _MOST else ""
            said.append(f"{', '.join(names)}{more} cannot be right and match nobody: {REMEDY}")
    return said


def _seal(
    db: sqlite3.Connection, table: VectorTable, storage: Storage, dimension: int
) -> tuple[list[int], int]:
    """Write a table's checksums; return the numbers of damaged rows, and how many were not unit."""
    sql = (
        f"SELECT {columns(table)} FROM {joined(table)} WHERE t.{table.number} > ?"
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


def _upgrade_measured(db: sqlite3.Connection) -> None:
    """Make the checksums of operating points and calibrations."""
    for table, column in (("operating_points", "point"), ("calibrations", "calibration")):
        texts = ", ".join(f"CAST({one} AS BLOB)" for one in ("name", "kind", column))
        rows = db.execute(f"SELECT rowid, {texts} FROM {table}").fetchall()
        db.executemany(
            f"UPDATE {table} SET checksum = ? WHERE rowid = ?",
            [(checksum_of_texts(*said), row) for row, *said in rows],
        )


def _upgrade_people(db: sqlite3.Connection) -> list[str]:
    """Write ids as they are kept now (`canonical`), but no two as one; return what to say."""
    by_id: dict[str, list[str]] = {}
    for (person,) in db.execute("SELECT id FROM people WHERE typeof(id) = 'text' ORDER BY person"):
        by_id.setdefault(canonical(person), []).append(person)
    renamed = [(kept, ids[0]) for kept, ids in by_id.items() if kept and ids[0] != kept]
    renamed = [(kept, before) for kept, before in renamed if len(by_id[kept]) == 1]
    db.executemany("UPDATE people SET id = ? WHERE id = ?", renamed)
    said = []
    if renamed:
        said.append(
            f"{len(renamed)} ids are written in composed letters and without space around them "
            f"now, such as {shown(renamed[0][0])}"
        )
    pairs = [ids for ids in by_id.values() if len(ids) > 1]
    for ids in pairs[:_MOST]:
        said.append(
            f"these ids are one name and stay {len(ids)} people: {', '.join(map(ascii, ids))}; if "
            f"they are one person: facever gallery merge GALLERY {shown(ids[1])} {shown(ids[0])}"
        )
    if len(pairs) > _MOST:
        said.append(f"{len(pairs) - _MOST} more names are several people's")
    return said
