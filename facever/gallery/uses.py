"""The log of uses of a gallery: who asked what kind of question when, and what the answer was.

It holds no image and no vector. It is the file `uses.db` in the gallery's folder, or a table beside
those of a gallery in PostgreSQL. A service writes it; a gallery in a folder that no service has
answered for has none.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Self

from facever.core.text import canonical
from facever.errors import UnavailableError
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.copies import RowDigest
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.use_tables import PostgresUses, SqliteUses, UseTable
from facever.render.values import Record

ERASED = "erased:"
"""Prefix of the random word in the place of the id of a person who was removed."""

Outcome = Literal["known", "unknown", "same", "different", "undecided", "failed"]
_CLEANED_EVERY = 3600.0  # seconds
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Use(Record):
    """One question and its answer.

    Args:
        began: When the request came, ISO 8601 in UTC.
        ended: When it was answered.
        caller: Name of the caller's token.
        kind: "search" (1:N), "verify" (an image and a person) or "compare" (two images).
        outcome: "known" or "unknown", "same" or "different", "undecided" without a decision, or
            "failed" for an image without a vector.
        person: The recognised or claimed person; undecided, the first candidate; else None.
        score: The score of the answer, or None.
        point: The operating point that decided, in one line, or None.
        fingerprint: The model.
        gallery: Identifier of the gallery that was searched.
        change: Number of the gallery's last change when the question was answered.
        image: HMAC-SHA256 of the image file with a key of this log; None for embeddings.
        request: The request's id.
    """

    began: str
    ended: str
    caller: str
    kind: str
    outcome: Outcome
    person: str | None
    score: float | None
    point: str | None
    fingerprint: str
    gallery: str
    change: int
    image: str | None
    request: str


_COLUMNS = ", ".join(one.name for one in fields(Use))
_values = attrgetter(*(one.name for one in fields(Use)))


class UseLog:
    """An open log of uses; threads and processes may share it.

    Args:
        place: The gallery's folder, or its address in PostgreSQL.
        days: Rows older than this are erased; None keeps all.
        wait: Seconds to wait for another process that writes.

    Raises:
        UnavailableError: The log cannot be opened or written.
    """

    def __init__(
        self, place: Path | GalleryAddress, days: int | None = None, wait: float = 10.0
    ) -> None:
        self._days = days
        self._lock = threading.Lock()  # of the table
        self._cleaned = -_CLEANED_EVERY
        self._table: UseTable
        if isinstance(place, GalleryAddress):
            self._table = PostgresUses(place)
        else:
            self._table = SqliteUses(place, wait)

    @classmethod
    def existing(cls, place: Path | GalleryAddress) -> Self | None:
        """Open the log of a gallery; None if it has none."""
        there = isinstance(place, GalleryAddress) or SqliteUses.is_in(place)
        return cls(place) if there else None

    def close(self) -> None:
        """Close the file or the connection."""
        with self._lock:
            self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hash_of(self, image: bytes) -> str:
        """Return the keyed hash of an image file: the same image has the same one in this log."""
        return hmac.digest(self._table.key, image, "sha256").hex()

    def add(self, uses: Sequence[Use]) -> None:
        """Add rows, and erase those whose time is over."""
        places = ", ".join("?" * len(fields(Use)))
        with self._lock, self._table.writing() as db:
            db.executemany(
                f"INSERT INTO uses ({_COLUMNS}) VALUES ({places})", list(map(_values, uses))
            )
        if self._days is not None and time.monotonic() - self._cleaned > _CLEANED_EVERY:
            self._cleaned = time.monotonic()
            before = datetime.now(UTC) - timedelta(days=self._days)
            self.erase_before(before.isoformat(timespec="seconds"))

    def rows(
        self, person: str | None = None, since: str | None = None, last: int | None = None
    ) -> list[Use]:
        """Return rows, oldest first.

        Args:
            person: Only those of this person.
            since: Only those that ended at this time or later, ISO 8601.
            last: Only so many, the newest ones.
        """
        wanted, values = ["1 = 1"], []
        if person is not None:
            wanted.append("person IN (?, ?)")
            values += [person, canonical(person)]
        if since is not None:
            wanted.append("ended >= ?")
            values.append(since)
        sql = f"SELECT {_COLUMNS} FROM uses WHERE {' AND '.join(wanted)} ORDER BY use DESC"
        newest = "" if last is None else f" LIMIT {last}"
        with self._lock, self._table.reading() as db:
            return [Use(*row) for row in reversed(db.execute(sql + newest, values).fetchall())]

    def erase(self, person: str) -> int:
        """Erase the rows of a person, and return their number."""
        with self._lock, self._table.writing() as db:
            forms = [person, canonical(person)]
            return db.execute("DELETE FROM uses WHERE person IN (?, ?)", forms).rowcount

    def erase_before(self, ended: str) -> int:
        """Erase the rows that ended before a time, ISO 8601, and return their number."""
        with self._lock, self._table.writing() as db:
            return db.execute("DELETE FROM uses WHERE ended < ?", [ended]).rowcount

    def forget(self, people: Sequence[str]) -> None:
        """Replace the ids of people by random words, one for each person."""
        for person in people:
            self.rename(person, f"{ERASED}{secrets.token_hex(8)}")

    def rename(self, person: str, name: str) -> None:
        """Replace the id of a person by another one."""
        forms = [person, canonical(person)]
        with self._lock, self._table.writing() as db:
            db.execute("UPDATE uses SET person = ? WHERE person IN (?, ?)", [name, *forms])

    def replace_by(self, other: Self) -> int:
        """Replace the rows and the key by those of another log; return the number of rows.

        Raises:
            UnavailableError: The rows differ from those of the other log.
        """
        taken, found = RowDigest(), RowDigest()
        places = ", ".join("?" * len(fields(Use)))
        insert = f"INSERT INTO uses ({_COLUMNS}) VALUES ({places})"
        with self._lock, self._table.writing() as db:
            db.execute("DELETE FROM uses")
            with other._lock, other._table.reading() as read:
                for rows in _blocks(read):
                    taken.add("uses", rows)
                    db.executemany(insert, rows)
            self._table.set_key(db, other._table.key)
            for rows in _blocks(db):
                found.add("uses", rows)
            if found.done() != taken.done():
                raise UnavailableError("the copy of the log of uses differs from it; copy again")
        return taken.rows

    def purge(self) -> None:
        """Rewrite the log, so that no byte of erased rows remains in it."""
        with self._lock:
            self._table.purge()


def _blocks(db: StoreConnection) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows that a log has now, oldest first, without their numbers."""
    newest, last = db.execute("SELECT max(use) FROM uses").fetchone()[0], None
    while last != newest:
        where, values = ("", list[int]()) if last is None else (" AND use > ?", [last])
        sql = f"SELECT use, {_COLUMNS} FROM uses WHERE use <= ?{where} ORDER BY use"
        rows = db.execute(f"{sql} LIMIT {_ROWS_AT_ONCE}", [newest, *values]).fetchall()
        if not rows:  # the newest ones were erased
            return
        last = rows[-1][0]
        yield [row[1:] for row in rows]
