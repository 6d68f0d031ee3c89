"""A copy of a store in another one, of any engine: the same rows, bit for bit.

Tables are copied in blocks, in the order of their numbers, each block in a transaction. The last
transaction copies the facts and what can change without a change number, and compares SHA-256
digests of all rows of both stores. Until then the copy has only one fact, of which state it is: so
it cannot be opened, and can be continued as long as the other store is in the same state.

A damaged row remains what it was, with its checksum, and is as damaged in the copy.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from facever._version import __version__
from facever.errors import GalleryError, UnavailableError
from facever.gallery.metadata import stored_json
from facever.gallery.pgvector import is_pgvector
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.crops import ROWS_AT_ONCE as CROPS_AT_ONCE
from facever.gallery.store.database import Database, Transaction
from facever.gallery.store.facts import COPY, SEARCH, StoreFacts, write_facts

_ROWS_AT_ONCE = 4096


class CopiedTable(NamedTuple):
    """A table and its columns; the first one is the key."""

    name: str
    columns: tuple[str, ...]


_NUMBERED = tuple(
    CopiedTable(name, tuple(columns.split()))
    for name, columns in (
        ("changes", "change stamp time action people images"),
        ("people", "person id metadata created"),
        ("images", "image person source hash enrolled norm quality camera taken vector"),
        ("image_checksums", "image checksum"),
        ("photos", "image landmarks"),
        ("crops", "image alignment png checksum"),
        ("templates", "template person vector"),
        ("template_checksums", "template checksum"),
        ("removed", "entry change"),
        ("audit", "entry time action person images change"),
    )
)
_MIGRATED = (
    CopiedTable("migrated", ("image", "norm", "vector")),
    CopiedTable("migrated_checksums", ("image", "checksum")),
)
"""Rows that change without a change number."""

_FACTS = CopiedTable("meta", ("key", "value"))
_SMALL = (
    CopiedTable("operating_points", ("name", "kind", "point", "added", "checksum")),
    CopiedTable("calibrations", ("name", "kind", "calibration", "added", "checksum")),
    _FACTS,
)
_ALLOTTED = ("changes", "people", "images", "templates", "audit")


@dataclass(frozen=True)
class CopiedState:
    """Of which state an incomplete copy is.

    Args:
        gallery: Identifier of the gallery.
        change: Number of its newest change.
        stamp: Stamp of that change.
        version: Version of facever that began the copy.
    """

    gallery: str
    change: int
    stamp: str
    version: str

    @classmethod
    def of(cls, read: Transaction, facts: StoreFacts) -> Self:
        """Return the state that a transaction reads."""
        sql = "SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
        number, stamp = read.first(sql)
        return cls(facts.gallery, number, stamp, __version__)

    @classmethod
    def begun(cls, read: Transaction) -> Self | None:
        """Return the state of which an incomplete copy is; None of a complete gallery.

        Raises:
            GalleryError: The record of the copy is damaged.
        """
        row = read.first("SELECT value FROM meta WHERE key = ?", COPY)
        if row is None:
            return None
        try:
            return cls(**stored_json(row[0]))
        except (ValueError, TypeError) as error:
            raise GalleryError(
                f"{read.name} is damaged: the record of its copy cannot be used ({error})"
            ) from error

    def write(self, db: StoreConnection) -> None:
        """Write the only fact of an incomplete copy."""
        write_facts(db, {COPY: asdict(self)})


class Copied(NamedTuple):
    """What a copy has.

    Args:
        rows: Number of rows in all tables.
        digest: SHA-256 of all rows, in hexadecimal.
    """

    rows: int
    digest: str


class RowDigest:
    """SHA-256 of rows in order. Rows of different engines with equal values have the same."""

    def __init__(self) -> None:
        self._sha, self.rows = hashlib.sha256(), 0

    def add(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of a table."""
        for row in rows:
            blobs = [value for value in row if isinstance(value, bytes)]
            plain = [(len(value),) if isinstance(value, bytes) else value for value in row]
            self._sha.update(repr((table, plain)).encode())
            for blob in blobs:
                self._sha.update(blob)
            self.rows += 1

    def done(self) -> Copied:
        """Return the digest."""
        return Copied(self.rows, self._sha.hexdigest())


def row_count(db: StoreConnection) -> int:
    """Return the number of rows of the large tables."""
    tables = [one.name for one in (*_NUMBERED, *_MIGRATED) if _is_there(db, one)]
    counts = " + ".join(f"(SELECT count(*) FROM {name})" for name in tables)
    return int(db.execute(f"SELECT {counts}").fetchone()[0])


def copy_rows(
    read: Transaction,
    target: Database,
    state: CopiedState,
    advance: Callable[[int], None],
) -> Copied:
    """Copy all rows, those that are missing in the copy, and complete it.

    Args:
        read: A transaction that reads the state.
        target: The incomplete copy.
        state: Of which state it is.
        advance: Called with the number of rows of each block, first when they are copied, then when
            they are verified.

    Raises:
        GalleryError: The copy cannot hold a row, or its rows differ, or another process writes it.
    """
    digest = RowDigest()
    for table in _NUMBERED:
        with target.reading() as there:
            last = _last_key(there.db, table)
        for rows in _blocks(read.db, table):
            digest.add(table.name, rows)
            new = [row for row in rows if last is None or row[0] > last]
            if new:
                with _named(table, new), target.writing() as change:
                    _require_own(change, state, table, last)
                    if table.name == "photos":
                        change.db.make_photos()
                    change.db.insert(table.name, table.columns, new)
                last = new[-1][0]
            advance(len(rows))
    small = {table: [row for rows in _blocks(read.db, table) for row in rows] for table in _SMALL}
    small[_FACTS] = _facts_for(target, small[_FACTS])
    with target.writing(much=True) as change:
        _require_own(change, state)
        for table in _MIGRATED:
            for rows in _blocks(read.db, table):
                digest.add(table.name, rows)
                change.db.insert(table.name, table.columns, rows)
                advance(len(rows))
        change.db.execute("DELETE FROM meta")
        for table, rows in small.items():
            digest.add(table.name, rows)
            change.db.insert(table.name, table.columns, rows)
        for name in _ALLOTTED:
            change.db.set_last_number(name, read.db.last_number(name))
        digest.add("numbers", _numbers(read.db))
        found, wanted = _digest_of(change.db, advance), digest.done()
        if found != wanted:
            raise GalleryError(
                f"{target.name} is not equal to {read.name}: {found.rows} rows with SHA-256 "
                f"{found.digest}, not {wanted.rows} with {wanted.digest}; the copy remains "
                "incomplete: delete it, and copy again"
            )
    return wanted


def _facts_for(target: Database, facts: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the facts of a copy: without a derived one, and with a kind of index that it has."""
    kept = {key: value for key, value in facts if key != SEARCH}
    if not target.can_search and is_pgvector(str(stored_json(kept["index"]))):
        kept["index"] = json.dumps("auto")
    return list(kept.items())


def _digest_of(db: StoreConnection, advance: Callable[[int], None]) -> Copied:
    digest = RowDigest()
    for table in (*_NUMBERED, *_MIGRATED, *_SMALL):
        for rows in _blocks(db, table):
            digest.add(table.name, rows)
            advance(0 if table in _SMALL else len(rows))
    digest.add("numbers", _numbers(db))
    return digest.done()


def _numbers(db: StoreConnection) -> list[tuple[str, int]]:
    return [(name, db.last_number(name)) for name in _ALLOTTED]


def _blocks(db: StoreConnection, table: CopiedTable) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a table by ascending keys."""
    key, where, values = table.columns[0], "", list[Any]()
    most = CROPS_AT_ONCE if table.name == "crops" else _ROWS_AT_ONCE
    while _is_there(db, table):
        sql = (
            f"SELECT {', '.join(table.columns)} FROM {table.name}{where} ORDER BY {key}"
            f" LIMIT {most}"
        )
        rows = db.execute(sql, values).fetchall()
        if not rows:
            return
        yield rows
        where, values = f" WHERE {key} > ?", [rows[-1][0]]


def _is_there(db: StoreConnection, table: CopiedTable) -> bool:
    """Return whether a store has a table; only that of photos can be missing."""
    return table.name != "photos" or db.has_photos()


def _last_key(db: StoreConnection, table: CopiedTable) -> int | None:
    """Return the largest key of a table; None if it has no rows."""
    if not _is_there(db, table):
        return None
    last = db.execute(f"SELECT max({table.columns[0]}) FROM {table.name}").fetchone()[0]
    return None if last is None else int(last)


def _require_own(
    change: Transaction,
    state: CopiedState,
    table: CopiedTable | None = None,
    last: int | None = None,
) -> None:
    """Refuse to continue a copy that another process has continued, begun again or completed."""
    if CopiedState.begun(change) != state or (
        table is not None and _last_key(change.db, table) != last
    ):
        raise UnavailableError(f"{change.name}: another process is copying into it, or has done so")


@contextmanager
def _named(table: CopiedTable, rows: Sequence[tuple[Any, ...]]) -> Iterator[None]:
    """Add to an error which rows were written."""
    try:
        yield
    except GalleryError as error:
        raise type(error)(
            f"{error} (copying {table.name} {rows[0][0]} to {rows[-1][0]}): correct that, then "
            "resume the copy by the same command"
        ) from error
