"""A connection to an SQLite file, with what SQLite expresses in its own way."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from facever.gallery.metadata import Conditions, is_texts
from facever.gallery.records import shown

_PARAMETERS_AT_ONCE = 10_000
_TYPES = {  # of the columns of images
    "source": ("text", "null"),
    "hash": ("text", "null"),
    "enrolled": ("text",),
    "norm": ("real", "integer", "null"),
    "quality": ("real", "integer", "null"),
    "camera": ("text", "null"),
    "taken": ("text", "null"),
}
_PHOTOS = """
CREATE TABLE IF NOT EXISTS photos (
    image INTEGER PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    landmarks TEXT NOT NULL
)
"""  # created with the first photo: a store of crops has the same tables as in earlier versions


class SqliteConnection(sqlite3.Connection):
    """A connection to a store's file."""

    rows_at_once = 256  # SQLite keeps their pages in memory until the checksums exist

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert new rows."""
        places = ", ".join("?" * len(columns))
        self.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)

    def allot(self, table: str, count: int = 1) -> int:  # noqa: ARG002 - SQLite counts rows
        """Return the next unused number of a table; inserting the rows allots them."""
        return self.last_number(table) + 1

    def last_number(self, table: str) -> int:
        """Return the largest number that a row of a table has had; 0 without one."""
        row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
        return 0 if row is None else int(row[0])

    def set_last_number(self, table: str, number: int) -> None:
        """Let new rows of a table have larger numbers."""
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table])
        self.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", [table, number])

    def among(self, sql: str, values: Sequence[int] | Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement with `IN ({})` for any number of values."""
        for start in range(0, len(values), _PARAMETERS_AT_ONCE):
            some = values[start : start + _PARAMETERS_AT_ONCE]
            yield from self.execute(sql.format(",".join("?" * len(some))), some)

    def each(self, sql: str, values: Sequence[int] | Sequence[str], *first: object) -> None:
        """Run a statement with `IN ({})` for any number of values, which come after `first`."""
        for start in range(0, len(values), _PARAMETERS_AT_ONCE):
            some = values[start : start + _PARAMETERS_AT_ONCE]
            self.execute(sql.format(",".join("?" * len(some))), [*first, *some])

    def has_photos(self) -> bool:
        """Return whether there is a table of photos."""
        sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'photos'"
        return self.execute(sql).fetchone() is not None

    def make_photos(self) -> None:
        """Create the table of photos if there is none."""
        self.execute(_PHOTOS)

    def is_sound_id(self, people: str) -> str:
        """Return an SQL condition: the id is text, and the same as in the index of ids.

        Each id is stored twice, so that a damaged one is not taken for another person.
        """
        return (
            f"(typeof({people}.id) = 'text' AND {people}.person ="
            f" (SELECT q.person FROM people q WHERE q.id = {people}.id))"
        )

    def as_bytes(self, column: str) -> str:
        """Return SQL for the bytes of a text, which may be invalid UTF-8."""
        return f"CAST({column} AS BLOB)"

    def as_blob(self, column: str) -> str:
        """Return SQL for the bytes of a column of bytes, of which damage can make a text."""
        return f"CAST({column} AS BLOB)"

    def has_only(self, characters: str, column: str) -> str:
        """Return an SQL condition: whether a text has only these characters."""
        return f"NOT CAST({column} AS TEXT) GLOB '*[^{characters}]*'"

    def narrowed(self, conditions: Conditions) -> tuple[str, list[str]]:
        """Return an SQL condition with its values that is true for all people who match a filter.

        Metadata is JSON written by Python, so keys and texts are searched in Python's notation.
        """
        parts, values = ["1"], []
        for key, wanted in conditions.items():
            parts.append("instr(metadata, ?)")
            values.append(f"{json.dumps(key)}: ")
            if is_texts(wanted):
                parts.append(f"({' OR '.join(['0', *['instr(metadata, ?)'] * len(wanted)])})")
                values += [f"{json.dumps(value)}" for value in wanted]
        return " AND ".join(parts), values

    # -- checks -----------------------------------------------------------------------------

    def problems(self) -> Iterator[str]:
        """Yield what SQLite finds, and what a sound store does not have."""
        for (line,) in self.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield f"SQLite reports: {' '.join(line.split())}"
        tables = [row[0] for row in self.execute("PRAGMA foreign_key_check")]
        for table in sorted(set(tables)):
            yield f"{tables.count(table)} rows of {table} refer to missing rows"
        for name in self.planted():
            yield f"unknown trigger or view: {shown(name)}"
        yield from self._columns_of_other_types()

    def planted(self) -> list[str]:
        """Return the names of triggers and views; a gallery has none."""
        sql = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view') ORDER BY name"
        return [str(name) for (name,) in self.execute(sql)]

    def _columns_of_other_types(self) -> Iterator[str]:
        for column, types in _TYPES.items():
            allowed = ", ".join(f"'{type_}'" for type_ in types)
            sql = (
                f"SELECT count(*), min(image) FROM images WHERE typeof({column}) NOT IN ({allowed})"
            )
            count, first = self.execute(sql).fetchone()
            if count:
                yield (
                    f"the {column} of {count} images is not {' or '.join(types)}, the first is "
                    f"image {first}"
                )
