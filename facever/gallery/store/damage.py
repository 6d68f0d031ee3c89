"""What a store says of rows that are damaged: each is named once, and the rest goes on."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from facever.core.console import warn
from facever.gallery.records import shown
from facever.gallery.store.sealing import IMAGES, TEMPLATES, Table

REMEDY = (
    "restore the gallery from a copy, or remove the image ('facever gallery remove --image') and "
    "enroll it again"
)
_MOST = 20  # rows that are named; of more, the number is


class Damage:
    """Warns of damaged rows, of each once.

    Args:
        path: The store's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: set[tuple[str, int] | str] = set()

    def name(self, db: sqlite3.Connection, table: Table, numbers: Sequence[int]) -> None:
        """Name rows whose vector is damaged and left out."""
        new = [number for number in numbers if (table.name, number) not in self._said]
        if not new:
            return
        self._said |= {(table.name, number) for number in new}
        for what in described(db, table, new[:_MOST]):
            warn(f"{self._path}: {what} is damaged and left out: {remedy(table)}")
        if len(new) > _MOST:
            warn(
                f"{self._path}: {len(new) - _MOST} more vectors are damaged and left out; "
                "'facever gallery check' names them"
            )

    def say(self, what: str) -> None:
        """Say that something is damaged."""
        if what not in self._said:
            self._said.add(what)
            warn(f"{self._path}: {what}; 'facever gallery check' looks at every row")


def remedy(table: Table) -> str:
    """Return what to do about a damaged vector."""
    if table is TEMPLATES:
        return "'facever gallery rebuild' makes it again"
    return REMEDY


def described(db: sqlite3.Connection, table: Table, numbers: Sequence[int]) -> list[str]:
    """Return what to call the vectors of these numbers: by person and source where known."""
    source = "t.source" if table is IMAGES else "NULL"
    whose = "p.person = t.person" if table.owner == "person" else "0"
    sql = (
        f"SELECT p.id, {source} FROM {table.name} t LEFT JOIN people p ON {whose}"
        f" WHERE t.{table.number} = ?"
    )
    said = []
    for number in numbers:
        person, origin = db.execute(sql, [number]).fetchone()
        of = f" of {shown(str(person))}" if person is not None else " of nobody"
        where = f" ({shown(origin)})" if isinstance(origin, str) else ""
        said.append(f"the vector of {table.number} {number}{of if whose != '0' else ''}{where}")
    return said


def is_sound(
    source: object, hash_: object, enrolled: object, norm: object, quality: object
) -> bool:
    """Return whether what is known of an image is of the types that it was written as."""
    return (
        isinstance(enrolled, str)
        and all(value is None or isinstance(value, str) for value in (source, hash_))
        and all(value is None or isinstance(value, int | float) for value in (norm, quality))
    )
