"""Vectors in a store's tables: written with checksums, verified when read."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice
from typing import Any, NamedTuple

import numpy as np

from facever.gallery.checksums import checksums_of, checksums_of_bytes, intact
from facever.gallery.records import Checksums, Keys, Settings, Storage, Vectors, shown
from facever.gallery.storage import bytes_of, decoded, encoded
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Transaction
from facever.gallery.templates import ALL

REMEDY = (
    "restore the gallery from a copy, or remove the image ('facever gallery remove --image') and "
    "enroll it again"
)
_ROWS_AT_ONCE = 4096
_MOST = 20  # damaged rows that are listed; of more, only the number


class VectorTable(NamedTuple):
    """A table of vectors: its columns for numbers and owners, and the table of checksums."""

    name: str
    number: str
    owner: str
    checksums: str


IMAGES = VectorTable("images", "image", "person", "image_checksums")
TEMPLATES = VectorTable("templates", "template", "person", "template_checksums")
MIGRATED = VectorTable("migrated", "image", "0", "migrated_checksums")
TABLES = (IMAGES, TEMPLATES, MIGRATED)


def entry_table(settings: Settings) -> VectorTable:
    """Return the table that holds the entries."""
    return IMAGES if settings.templates == ALL else TEMPLATES


class Verified(NamedTuple):
    """Intact vectors, and the numbers of damaged rows.

    Args:
        numbers: int64 [N].
        owners: People's keys, int64 [N].
        vectors: float32 [N, D], unit rows.
        checksums: uint32 [N].
        damaged: Numbers of rows with a damaged vector, owner or checksum.
    """

    numbers: Keys
    owners: Keys
    vectors: Vectors
    checksums: Checksums
    damaged: list[int]


def columns(db: StoreConnection, table: VectorTable) -> str:
    """Return the columns to select `FROM {joined(table)}` for `verified`."""
    sound = db.is_sound_id("p") if table.owner == "person" else "1 = 1"
    return f"t.{table.number}, {_owner(table)}, t.vector, c.checksum, {sound}"


def joined(table: VectorTable, *, after: bool = False) -> str:
    """Return the outer join of a table (t), its checksums (c) and people (p).

    Args:
        table: The table.
        after: For rows after a number. It is a value of the join, and one of the condition, since
            PostgreSQL would otherwise read all checksums before those.
    """
    whose = "people" if table.owner == "person" else "(SELECT 0 AS person, 'all' AS id)"
    return (
        f"{table.name} t LEFT JOIN {table.checksums} c ON c.{table.number} = t.{table.number}"
        f"{f' AND c.{table.number} > ?' if after else ''}"
        f" LEFT JOIN {whose} p ON p.person = {_owner(table)}"
    )


def _owner(table: VectorTable) -> str:
    return f"t.{table.owner}" if table.owner == "person" else table.owner


def verified(rows: Sequence[tuple[Any, ...]], storage: Storage, dimension: int) -> Verified:
    """Return the vectors of the intact rows, in order.

    Args:
        rows: Rows with the columns of `columns`; further columns are ignored.
        storage: Storage format of the vectors.
        dimension: D.
    """
    size, sound = bytes_of(storage, dimension), None
    columns = list(zip(*rows, strict=True)) or [()] * 5
    if not _are_sound(columns, size):
        sound = [_is_sound(row, size) for row in rows]
        columns = list(zip(*compress(rows, sound), strict=True)) or [()] * 5
    numbers, owners = (np.array(column, np.int64) for column in columns[:2])
    vectors = decoded(columns[2], storage, dimension)
    checksums = np.array(columns[3], np.uint32)
    whole = intact(numbers, owners, vectors, checksums)
    damaged = [row[0] for row, good in zip(rows, sound or (), strict=False) if not good]
    if not whole.all():
        damaged = sorted([*damaged, *numbers[~whole].tolist()])
        numbers, owners, vectors = numbers[whole], owners[whole], vectors[whole]
        checksums = checksums[whole]
    return Verified(numbers, owners, vectors, checksums, damaged)


def _is_sound(row: Sequence[Any], size: int) -> bool:
    """Return whether the columns of a row have valid types and values."""
    _, owner, blob, checksum, sound_id, *_ = row
    return (
        isinstance(blob, bytes)
        and len(blob) == size
        and isinstance(owner, int)
        and owner >= 0
        and isinstance(checksum, int)
        and 0 <= checksum < 2**32
        and bool(sound_id)
    )


def _are_sound(columns: Sequence[Sequence[Any]], size: int) -> bool:
    """Return whether all rows are sound, by their columns: much faster than row by row."""
    _, owners, blobs, checksums, sound_ids, *_ = columns
    if not owners:
        return True
    kinds = [set(map(type, column)) for column in (owners, blobs, checksums)]
    return (
        kinds == [{int}, {bytes}, {int}]
        and set(map(len, blobs)) == {size}
        and min(owners) >= 0
        and min(checksums) >= 0
        and max(checksums) < 2**32
        and all(sound_ids)
    )


def add_checksums(
    db: StoreConnection,
    table: VectorTable,
    rows: Iterable[tuple[int, int, bytes]],
    storage: Storage,
    dimension: int,
) -> None:
    """Write the checksums of vectors that have none.

    Args:
        db: A connection in a transaction.
        table: The table of the vectors.
        rows: Number, person's key and bytes of each vector.
        storage: Storage format of the vectors.
        dimension: D.
    """
    left = iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        numbers = np.array([row[0] for row in some], np.int64)
        owners = np.array([row[1] for row in some], np.int64)
        blobs = [row[2] for row in some]
        if storage == "float32":  # decoding is the identity
            checksums = checksums_of_bytes(numbers, owners, blobs)
        else:
            checksums = checksums_of(numbers, owners, decoded(blobs, storage, dimension))
        insert_checksums(db, table, numbers, checksums)


def insert_checksums(
    db: StoreConnection, table: VectorTable, numbers: Keys, checksums: Checksums
) -> None:
    """Write the checksums [N] of rows without one by their numbers [N]."""
    rows = zip(numbers.tolist(), checksums.tolist(), strict=True)
    db.insert(table.checksums, [table.number, "checksum"], rows)


def pages(
    db: StoreConnection, table: VectorTable, storage: Storage, dimension: int, after: int = 0
) -> Iterator[Verified]:
    """Yield all rows of a table after a number, in blocks."""
    sql = (
        f"SELECT {columns(db, table)} FROM {joined(table, after=True)} WHERE t.{table.number} > ?"
        f" ORDER BY t.{table.number} LIMIT {_ROWS_AT_ONCE}"
    )
    while rows := db.execute(sql, [after, after]).fetchall():
        after = rows[-1][0]
        yield verified(rows, storage, dimension)


def rewrite(
    db: StoreConnection,
    images: Keys,
    owners: Keys,
    vectors: Vectors,
    storage: Storage,
    dimension: int,
) -> None:
    """Replace the vectors [N, D] of images [N], and their checksums."""
    blobs = list(encoded(vectors, storage))
    db.executemany(
        "UPDATE images SET vector = ? WHERE image = ?", zip(blobs, images.tolist(), strict=True)
    )
    db.each("DELETE FROM image_checksums WHERE image IN ({})", images.tolist())
    rows = zip(images.tolist(), owners.tolist(), blobs, strict=True)
    add_checksums(db, IMAGES, rows, storage, dimension)


def whole(read: Transaction, table: VectorTable, rows: Sequence[tuple[Any, ...]]) -> Verified:
    """Return `verified` rows of images or templates; report damaged ones."""
    facts = read.facts()
    found = verified(rows, facts.settings.storage, facts.binding.dimension)
    name_damaged(read, table, found.damaged)
    return found


def name_damaged(read: Transaction, table: VectorTable, numbers: Sequence[int]) -> None:
    """Warn of damaged vectors that are omitted, once each."""
    new = read.damage.unnamed(table.name, numbers)
    remedy = "repair it with 'facever gallery rebuild'" if table is TEMPLATES else REMEDY
    for what in described(read.db, table, new[:_MOST]):
        read.damage.warn(f"{what} is damaged and omitted: {remedy}")
    if len(new) > _MOST:
        read.damage.warn(
            f"{len(new) - _MOST} more vectors are damaged and omitted; 'facever gallery check' "
            "names them"
        )


def described(db: StoreConnection, table: VectorTable, numbers: Sequence[int]) -> list[str]:
    """Return a description of the vectors of these numbers, with person and source if known."""
    source = "t.source" if table is IMAGES else "NULL"
    whose = "p.person = t.person" if table.owner == "person" else "1 = 0"
    sql = (
        f"SELECT p.id, {source} FROM {table.name} t LEFT JOIN people p ON {whose}"
        f" WHERE t.{table.number} = ?"
    )
    said = []
    for number in numbers:
        person, origin = db.execute(sql, [number]).fetchone()
        of = "" if table.owner != "person" else f" of {shown(str(person))}"
        of = " of nobody" if of and person is None else of
        where = f" ({shown(origin)})" if isinstance(origin, str) else ""
        said.append(f"the vector of {table.number} {number}{of}{where}")
    return said
