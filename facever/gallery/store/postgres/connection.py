"""A connection to a gallery's tables, with what PostgreSQL expresses in its own way."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from facever.gallery.metadata import Conditions, is_texts
from facever.gallery.records import shown

if TYPE_CHECKING:
    import psycopg

_TYPES = {
    "bytea": ("vector", "png"),
    "float8": ("norm", "quality"),
    "text": (
        *("id", "source", "hash", "enrolled", "created", "time", "action", "landmarks"),
        *("camera", "taken", "alignment"),
        *("stamp", "metadata", "name", "kind", "point", "calibration", "added", "key", "value"),
    ),
}
_TYPE_OF = {column: type_ for type_, columns in _TYPES.items() for column in columns}
_PLANTED = """
SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
UNION ALL SELECT r.rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
UNION ALL SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('v', 'm')
ORDER BY 1
"""


class PostgresConnection:
    """A connection in a transaction whose current schema is the gallery's.

    Args:
        raw: The connection of psycopg.
    """

    rows_at_once = 4096

    def __init__(self, raw: "psycopg.Connection") -> None:
        self.raw = raw

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> "psycopg.Cursor":
        """Run a statement; rows come in PostgreSQL's binary format."""
        if not values:
            return self.raw.execute(sql.encode(), binary=True)
        return self.raw.execute(_translated(sql), values, binary=True)

    def run_script(self, sql: str) -> None:
        """Run several statements without values by one message to the server."""
        self.raw.execute(sql.encode())

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run a statement for each row of values."""
        with self.raw.cursor() as cursor:
            cursor.executemany(_translated(sql), rows)
        return None

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert new rows by COPY."""
        copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
        with self.raw.cursor() as cursor, cursor.copy(copy.encode()) as sink:
            sink.set_types([_type_in(table, column) for column in columns])
            for row in rows:
                sink.write_row(row)

    def allot(self, table: str, count: int = 1) -> int:
        """Return the first of `count` numbers for new rows of a table."""
        sql = "UPDATE numbers SET last = last + ? WHERE name = ? RETURNING last"
        row = self.execute(sql, [count, table]).fetchone()
        assert row is not None
        return int(row[0]) - count + 1

    def last_number(self, table: str) -> int:
        """Return the number that `allot` returned last for a table; 0 if it never did."""
        row = self.execute("SELECT last FROM numbers WHERE name = ?", [table]).fetchone()
        assert row is not None
        return int(row[0])

    def set_last_number(self, table: str, number: int) -> None:
        """Let `allot` go on after a number."""
        self.execute("UPDATE numbers SET last = ? WHERE name = ?", [number, table])

    def among(self, sql: str, values: Sequence[int] | Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement with `IN ({})` for any number of values."""
        if len(values):
            yield from self.execute(_with_array(sql, values), [list(values)])

    def each(self, sql: str, values: Sequence[int] | Sequence[str], *first: object) -> None:
        """Run a statement with `IN ({})` for any number of values, which come after `first`."""
        if len(values):
            self.execute(_with_array(sql, values), [*first, list(values)])

    def has_photos(self) -> bool:
        """Return whether there is a table of photos: always."""
        return True

    def make_photos(self) -> None:
        """Do nothing: the table of photos is made with the others."""

    def problems(self) -> Iterator[str]:
        """Yield what a sound gallery does not have; PostgreSQL checks types and references."""
        for (name,) in self.execute(_PLANTED):
            yield f"unknown trigger, rule or view: {shown(str(name))}"

    def is_sound_id(self, people: str) -> str:  # noqa: ARG002 - PostgreSQL guarantees it
        """Return an SQL condition that is always true.

        The column is a text that is not NULL, foreign keys keep the row, and pages have checksums.
        Without the column, PostgreSQL leaves out the join with `people`.
        """
        return "true"

    def as_bytes(self, column: str) -> str:
        """Return SQL for the bytes of a text."""
        return f"convert_to({column}, 'UTF8')"

    def as_blob(self, column: str) -> str:
        """Return SQL for the bytes of a column of bytes."""
        return column

    def has_only(self, characters: str, column: str) -> str:
        """Return an SQL condition: whether a text has only these characters."""
        return f"{column} !~ '[^{characters}]'"

    def narrowed(self, conditions: Conditions) -> tuple[str, list[str]]:
        """Return an SQL condition with its values that is true for all people who match a filter.

        It can use the index of the metadata.
        """
        parts, values = ["true"], []
        for key, wanted in conditions.items():
            if is_texts(wanted):
                parts.append(f"({' OR '.join(['false', *['searchable @> ?'] * len(wanted)])})")
                values += [_searchable(json.dumps({key: value})) for value in wanted]
            else:
                parts.append("searchable ?? ?")
                values.append(json.loads(_searchable(json.dumps(key))))
        return " AND ".join(parts), values


def _searchable(written: str) -> str:
    """Return JSON as in the column `searchable`: jsonb has no NUL character."""
    return written.replace("\\u0000", "\\ufffd")


def _with_array(sql: str, values: Sequence[int] | Sequence[str]) -> str:
    """Return a statement with one array, which PostgreSQL plans faster than a list or a query."""
    type_ = "text" if isinstance(values[0], str) else "bigint"
    return sql.replace("IN ({})", f"= ANY (?::{type_}[])")


def _type_in(table: str, column: str) -> str:
    return "text" if (table, column) == ("audit", "person") else _TYPE_OF.get(column, "int8")


@lru_cache(maxsize=512)
def _translated(sql: str) -> bytes:
    """Return a statement with psycopg's placeholders: `?` is a value, `??` a question mark."""
    parts = (part.replace("?", "%s") for part in sql.replace("%", "%%").split("??"))
    return "?".join(parts).encode()
