"""What a store of an older format gets with its upgrade: checksums, and ids as they are kept now.

Nothing of it is lost. A vector that cannot be one gets no checksum: it matches nobody from then on
and is named. People whose ids become one are named and stay as they are.
"""

import sqlite3

import numpy as np

from facever.core.text import canonical
from facever.embeddings.unit import ROUNDING, unit_rows
from facever.gallery.checksums import checksum_of_texts, checksums_of
from facever.gallery.records import Binding, Storage, shown
from facever.gallery.store.coding import bytes_of, decoded, encoded, plausible
from facever.gallery.store.damage import REMEDY, described
from facever.gallery.store.sealing import (
    IMAGES,
    MIGRATED,
    TEMPLATES,
    Table,
    columns,
    insert_checksums,
    joined,
)

_ROWS_AT_ONCE = 4096
_MOST = 10  # things that are named


def upgrade_vectors(
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
    db: sqlite3.Connection, table: Table, storage: Storage, dimension: int
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


def upgrade_measured(db: sqlite3.Connection) -> None:
    """Make the checksums of operating points and calibrations."""
    for table, column in (("operating_points", "point"), ("calibrations", "calibration")):
        texts = ", ".join(f"CAST({one} AS BLOB)" for one in ("name", "kind", column))
        rows = db.execute(f"SELECT rowid, {texts} FROM {table}").fetchall()
        db.executemany(
            f"UPDATE {table} SET checksum = ? WHERE rowid = ?",
            [(checksum_of_texts(*said), row) for row, *said in rows],
        )


def upgrade_people(db: sqlite3.Connection) -> list[str]:
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
