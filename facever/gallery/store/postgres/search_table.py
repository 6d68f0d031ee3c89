"""The table that the database searches with pgvector, derived from the vectors of the gallery.

It holds the number, the owner and the vector of each entry, and is changed in the transaction that
changes the entries. The row `search` of `meta` names it. Each time it is made anew it has another
name: a reader of an earlier state does not find it empty, but not at all, and repeats its question.
"""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from facever.errors import GalleryError
from facever.gallery.metadata import stored_json
from facever.gallery.pgvector import PgvectorKind, index_type, is_pgvector
from facever.gallery.records import Entries, Keys, Vectors
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Transaction
from facever.gallery.store.entries import entries_after
from facever.gallery.store.entry_search import ChosenEntries, Proposed, SearchTableError
from facever.gallery.store.facts import SEARCH, StoreFacts
from facever.gallery.store.postgres.errors import NO_PGVECTOR
from facever.gallery.store.vectors import VectorTable, entry_table

_NAME = re.compile(r"search_[0-9a-f]{8}")
_AT_ONCE = 16_384  # entries
_OVERSAMPLED = 4  # times the entries that are read of lists
_LEAST = 64  # entries that are read of lists

_TYPES = """
SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'vector'
"""
_GRANTS = """
SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(rolname) END
    FROM pg_class CROSS JOIN aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee
    WHERE pg_class.oid = ?::regclass AND grantee <> relowner
    AND privilege_type IN ('SELECT', 'INSERT', 'DELETE')
"""


@dataclass(frozen=True)
class SearchTable:
    """A table of entries for pgvector.

    Attributes:
        name: Its name.
        types: The schema of pgvector's types, quoted.
        kind: The kind of search.
        dimension: Dimension of the vectors.
    """

    name: str
    types: str
    kind: PgvectorKind
    dimension: int

    def make(self, db: StoreConnection, entries: VectorTable | None) -> None:
        """Create the table, empty and without its index.

        Args:
            db: A connection in a transaction.
            entries: The table of the entries, from which rows are removed together; None for a
                temporary table.
        """
        whose = (
            f" REFERENCES {entries.name} ({entries.number}) ON DELETE CASCADE" if entries else ""
        )
        db.execute(
            f"CREATE TABLE {self.name} (entry bigint PRIMARY KEY{whose},"
            f" person bigint NOT NULL, vector {self.types}.vector NOT NULL)"
            " WITH (toast_tuple_target = 8160)"
        )
        db.execute(f"ALTER TABLE {self.name} ALTER vector SET STORAGE EXTERNAL")
        db.execute(f"CREATE INDEX ON {self.name} (person)")
        if entries is not None:
            for right, role in db.execute(_GRANTS, [entries.checksums]).fetchall():
                db.execute(f"GRANT {right} ON {self.name} TO {role}")

    def add(self, db: StoreConnection, entries: Entries) -> None:
        """Insert entries."""
        numbers, owners, vectors, _ = entries
        header = np.array([vectors.shape[1], 0], ">i2").tobytes()
        rows = (header + row.tobytes() for row in vectors.astype(">f4"))
        db.insert(
            self.name,
            ["entry", "person", "vector"],
            zip(numbers.tolist(), owners.tolist(), rows, strict=True),
        )

    def build_index(self, db: StoreConnection) -> None:
        """Create the approximate index; do nothing for exact search."""
        if self.kind.method is None:
            return
        options = ", ".join(f"{name} = {value}" for name, value in self.kind.built)
        operators = f"{self.types}.{index_type(self.dimension)}_ip_ops"
        db.execute(
            f"CREATE INDEX ON {self.name} USING {self.kind.method} (({self._indexed}) {operators})"
            f" WITH ({options})"
        )

    @property
    def _indexed(self) -> str:
        """SQL for what the approximate index has; exact search never has it."""
        return f"vector::{self.types}.{index_type(self.dimension)}({self.dimension})"

    @property
    def distance(self) -> str:
        """SQL for the negative inner product of each exact vector and a parameter."""
        return f"(vector OPERATOR({self.types}.<#>) ?::{self.types}.vector)"

    @property
    def indexed_distance(self) -> str:
        """SQL for the negative inner product by the approximate index."""
        type_ = f"{self.types}.{index_type(self.dimension)}"
        return f"({self._indexed} OPERATOR({self.types}.<#>) ?::{type_}({self.dimension}))"


class TableSearch:
    """Searches of a table in a transaction; see `EntrySearch`.

    Args:
        db: A connection in a transaction.
        table: The table.
    """

    def __init__(self, db: StoreConnection, table: SearchTable) -> None:
        self._db, self._table, self.dimension = db, table, table.dimension

    def with_effort(self, effort: int) -> Self:
        """Return the same search with another `ef_search` or `probes`."""
        kind = self._table.kind.with_effort(effort)
        return type(self)(self._db, replace(self._table, kind=kind))

    def nearest(self, query: Vectors, limit: int, chosen: ChosenEntries) -> Proposed:
        """Return the best entries for a query by exact search."""
        where, values = _condition(chosen)
        sql = (
            f"SELECT entry, person, {self._table.distance} FROM {self._table.name} WHERE {where}"
            " ORDER BY 3, 1 LIMIT ?"
        )
        return _proposed(self._rows(sql, [_written(query), *values, limit]))

    def best_means(self, query: Vectors, limit: int, chosen: ChosenEntries) -> Proposed:
        """Return the best people by the mean of their entries' scores."""
        where, values = _condition(chosen)
        sql = (
            f"SELECT person, person, avg({self._table.distance}) FROM {self._table.name}"
            f" WHERE {where} GROUP BY person ORDER BY 3, 1 LIMIT ?"
        )
        return _proposed(self._rows(sql, [_written(query), *values, limit]))

    def proposed(self, query: Vectors, least: int) -> Keys | None:
        """Return the keys of people near a query by the approximate index."""
        kind, effort = self._table.kind, self._table.kind.effort
        if kind.method is None or effort is None:
            return None
        limit = effort if kind.method == "hnsw" else max(_LEAST, _OVERSAMPLED * least)
        # without sorting, the approximate index is the only way to read in this order
        sql = (
            "SELECT set_config(?, ?, true), set_config('enable_seqscan', ?, true),"
            " set_config('enable_sort', ?, true)"
        )
        option = f"{kind.method}.{kind.option}"
        self._rows(sql, [option, str(effort), "off", "off"])
        found = self._rows(
            f"SELECT person FROM {self._table.name} ORDER BY {self._table.indexed_distance}"
            " LIMIT ?",
            [_written(query), limit],
        )
        self._rows(sql, [option, str(effort), "on", "on"])
        return np.unique(np.array(found, np.int64).reshape(-1))

    def size(self) -> int:
        """Return the bytes of the table with its indexes."""
        (found,) = self._rows("SELECT pg_total_relation_size(?::regclass)", [self._table.name])
        return int(found[0])

    def of_people(self, people: Keys) -> Keys:
        """Return the numbers of the entries of some people."""
        sql = f"SELECT entry FROM {self._table.name} WHERE person = ANY (?::bigint[])"
        return np.array(self._rows(sql, [people.tolist()]), np.int64).reshape(-1)

    def _rows(self, sql: str, values: list[Any]) -> list[Any]:
        with _found(self._table.name):
            return self._db.execute(sql, values).fetchall()


def follow(change: Transaction) -> None:
    """Make the search table follow the entries, at the end of a change.

    Without a kind of index that needs it, the table is dropped.

    Raises:
        GalleryError: The database has no pgvector.
    """
    db, (mark, index) = change.db, _mark_and_index(change.db)
    if not is_pgvector(index):
        if mark is not None:
            db.execute("DELETE FROM meta WHERE key = ?", [SEARCH])
            db.execute(f"DROP TABLE IF EXISTS {mark['table']}")
        return
    facts = change.facts()
    wanted = _wanted(facts)
    if (
        mark is not None
        and wanted.items() <= mark.items()
        and change.first("SELECT to_regclass(?) IS NOT NULL", mark["table"])[0]  # not of a copy
    ):
        _fill(change, _table(change, mark))
        return
    made = {"table": f"search_{secrets.token_hex(4)}", **wanted}
    table = _table(change, made)
    table.make(db, entry_table(facts.settings))
    _fill(change, table, anew=True)
    table.build_index(db)
    change.write_facts({SEARCH: made})
    if mark is not None:
        db.execute(f"DROP TABLE IF EXISTS {mark['table']}")  # last: it waits for readers


def trial_search(
    db: StoreConnection, name: str, kind: PgvectorKind, entries: Entries
) -> TableSearch:
    """Return the search of some entries in a new temporary table.

    Args:
        db: A connection in a transaction; the table ends with it.
        name: The gallery's name, for messages.
        kind: The kind of search.
        entries: The entries to search.
    """
    table = SearchTable("pg_temp.trial", types_schema(db, name), kind, entries.vectors.shape[1])
    table.make(db, None)
    table.add(db, entries)
    table.build_index(db)
    return TableSearch(db, table)


def forget(change: Transaction) -> None:
    """Let the end of this change make the search table anew."""
    mark, _ = _mark_and_index(change.db)
    if mark is not None:
        change.write_facts({SEARCH: {"table": mark["table"]}})


def table_search(read: Transaction) -> TableSearch:
    """Return the search of the entries in the database.

    Raises:
        SearchTableError: It is missing.
    """
    (mark, _), facts = _mark_and_index(read.db), read.facts()
    if mark is None or not _wanted(facts).items() <= mark.items():
        raise SearchTableError(f"{read.name} has no table for pgvector")
    return TableSearch(read.db, _table(read, mark))


def differences(read: Transaction) -> Iterator[str]:
    """Yield how the search table differs from the entries."""
    mark, _ = _mark_and_index(read.db)
    if mark is None or not read.first("SELECT to_regclass(?) IS NOT NULL", mark["table"])[0]:
        yield "is missing"
        return
    entries, table = entry_table(read.facts().settings), mark["table"]
    count = read.first(
        f"SELECT count(*) FROM {table} s LEFT JOIN {entries.name} t ON t.{entries.number} = s.entry"
        " WHERE t.person IS DISTINCT FROM s.person"
    )[0]
    if count:
        yield f"has {count} entries that the store does not have"
    before, wrong, missing = 0, 0, 0
    while len((some := entries_after(read, before, _AT_ONCE)).numbers):
        before = int(some.numbers[-1])
        sql = f"SELECT entry, vector::real[] FROM {table} WHERE entry IN ({{}})"
        there = dict(read.db.among(sql, some.numbers.tolist()))
        for number, vector in zip(some.numbers.tolist(), some.vectors, strict=True):
            other = there.get(number)
            missing += other is None
            wrong += other is not None and not np.array_equal(np.array(other, np.float32), vector)
    if missing:
        yield f"lacks {missing} entries of the store"
    if wrong:
        yield f"has {wrong} vectors that are not those of the store"


def types_schema(db: StoreConnection, name: str) -> str:
    """Return the schema of pgvector's types, quoted.

    Raises:
        GalleryError: The database has no pgvector.
    """
    row = db.execute(_TYPES).fetchone()
    if row is None:
        raise GalleryError(f"{name}: {NO_PGVECTOR}")
    return str(row[0])


def _mark_and_index(db: StoreConnection) -> tuple[dict[str, Any] | None, str]:
    """Return the name of the search table with what it was made for, and the kind of index.

    There is no name if it was never written, or is damaged: then the table is made anew.
    """
    said = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('index', ?)", [SEARCH]))
    mark, index = (_json(said.get(key, "null")) for key in (SEARCH, "index"))
    named = isinstance(mark, dict) and _NAME.fullmatch(str(mark.get("table")))
    return mark if named else None, str(index)


def _json(written: str) -> Any:
    try:
        return stored_json(written)
    except ValueError:
        return None


def _wanted(facts: StoreFacts) -> dict[str, str]:
    """Return what the search table must have been made for."""
    return {"generation": facts.generation, "index": facts.settings.index}


def _table(read: Transaction, mark: dict[str, Any]) -> SearchTable:
    dimension = read.facts().binding.dimension
    kind = PgvectorKind.parse(str(mark["index"]), dimension)
    return SearchTable(mark["table"], types_schema(read.db, read.name), kind, dimension)


def _fill(change: Transaction, table: SearchTable, *, anew: bool = False) -> None:
    """Insert the entries that the table does not have: those with larger numbers."""
    sql = f"SELECT coalesce(max(entry), 0) FROM {table.name}"
    last = 0 if anew else int(change.first(sql)[0])
    while len((some := entries_after(change, last, _AT_ONCE)).numbers):
        table.add(change.db, some)
        last = int(some.numbers[-1])


@contextmanager
def _found(table: str) -> Iterator[None]:
    """Convert the error of a table that is missing.

    Raises:
        SearchTableError: It is missing.
    """
    from psycopg.errors import UndefinedTable

    try:
        yield
    except UndefinedTable as error:
        raise SearchTableError(f"the table {table} is missing") from error


def _condition(chosen: ChosenEntries) -> tuple[str, list[object]]:
    """Return an SQL condition on entries, and its values."""
    parts: list[str] = ["true"]
    values: list[object] = []
    for column, allowed in (("person", chosen.people), ("entry", chosen.numbers)):
        if allowed is not None:
            parts.append(f"{column} = ANY (?::bigint[])")
            values.append(allowed.tolist())
    if chosen.without:
        parts.append("entry <> ALL (?::bigint[])")
        values.append(sorted(chosen.without))
    return " AND ".join(parts), values


def _proposed(rows: list[tuple[int, int, float]]) -> Proposed:
    numbers, owners, distances = list(zip(*rows, strict=True)) or [(), (), ()]
    return Proposed(
        np.array(numbers, np.int64), np.array(owners, np.int64), -np.array(distances, np.float32)
    )


def _written(vector: Vectors) -> str:
    """Return a vector as pgvector reads it; the values are exact."""
    return json.dumps(vector.tolist())
