"""The log of uses of a gallery: who asked what kind of question when, and what the answer was.

It holds no image and no vector. The file `uses.db` lies in the gallery's folder. A service writes
it; a gallery that no service has answered for has none.
"""

import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from facever.core.text import canonical
from facever.errors import UnavailableError
from facever.render.values import Record

FILE = "uses.db"
ERASED = "erased:"
"""Prefix of the random word in the place of the id of a person who was removed."""

Outcome = Literal["known", "unknown", "same", "different", "undecided", "failed"]
_CLEANED_EVERY = 3600.0  # seconds
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS uses (
    use INTEGER PRIMARY KEY,
    began TEXT NOT NULL, ended TEXT NOT NULL, caller TEXT NOT NULL, kind TEXT NOT NULL,
    outcome TEXT NOT NULL, person TEXT, score REAL, point TEXT,
    fingerprint TEXT NOT NULL, gallery TEXT NOT NULL, change INTEGER NOT NULL,
    image TEXT, request TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS uses_by_person ON uses (person);
CREATE INDEX IF NOT EXISTS uses_by_end ON uses (ended);
"""


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


class UseLog:
    """An open log of uses; threads and processes may share it.

    Args:
        folder: The gallery's folder.
        days: Rows older than this are erased; None keeps all.
        wait: Seconds to wait for another process that writes.

    Raises:
        UnavailableError: The log cannot be opened or written.
    """

    def __init__(self, folder: Path, days: int | None = None, wait: float = 10.0) -> None:
        self.path, self._days, self._wait = folder / FILE, days, wait
        self._lock = threading.Lock()
        self._cleaned = -_CLEANED_EVERY
        with self._explained():
            self._open()

    @classmethod
    def existing(cls, folder: Path) -> Self | None:
        """Open the log of a gallery; None if it has none."""
        return cls(folder) if (folder / FILE).exists() else None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hash_of(self, image: bytes) -> str:
        """Return the keyed hash of an image file: the same image has the same one in this log."""
        return hmac.digest(self._key, image, "sha256").hex()

    def add(self, uses: Sequence[Use]) -> None:
        """Add rows, and erase those whose time is over."""
        places = ", ".join("?" * len(fields(Use)))
        with self._writing() as db:
            db.executemany(
                f"INSERT INTO uses ({_COLUMNS}) VALUES ({places})", [astuple(one) for one in uses]
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
        wanted, values = ["1"], []
        if person is not None:
            wanted.append("person IN (?, ?)")
            values += [person, canonical(person)]
        if since is not None:
            wanted.append("ended >= ?")
            values.append(since)
        sql = f"SELECT {_COLUMNS} FROM uses WHERE {' AND '.join(wanted)} ORDER BY use DESC"
        with self._lock, self._explained():
            self._follow()
            rows = self._db.execute(f"{sql} LIMIT ?", [*values, -1 if last is None else last])
            return [Use(*row) for row in reversed(rows.fetchall())]

    def erase(self, person: str) -> int:
        """Erase the rows of a person, and return their number."""
        with self._writing() as db:
            forms = [person, canonical(person)]
            return db.execute("DELETE FROM uses WHERE person IN (?, ?)", forms).rowcount

    def erase_before(self, ended: str) -> int:
        """Erase the rows that ended before a time, ISO 8601, and return their number."""
        with self._writing() as db:
            return db.execute("DELETE FROM uses WHERE ended < ?", [ended]).rowcount

    def forget(self, people: Sequence[str]) -> None:
        """Replace the ids of people by random words, one for each person."""
        for person in people:
            self.rename(person, f"{ERASED}{secrets.token_hex(8)}")

    def rename(self, person: str, name: str) -> None:
        """Replace the id of a person by another one."""
        forms = [person, canonical(person)]
        with self._writing() as db:
            db.execute("UPDATE uses SET person = ? WHERE person IN (?, ?)", [name, *forms])

    def purge(self) -> None:
        """Rewrite the file, so that no byte of erased rows remains in it."""
        with self._lock, self._explained():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _open(self) -> None:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(
            self.path, timeout=self._wait, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses no row
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.executescript(_SCHEMA)
        made = "INSERT OR IGNORE INTO facts VALUES ('key', ?)"
        self._db.execute(made, [secrets.token_bytes(32)])
        (self._key,) = self._db.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
        self._file = self._identity()

    def _follow(self) -> None:
        """Open the file again if the gallery's folder was replaced, as by a restored copy."""
        if self._identity() != self._file:
            self._db.close()
            self._open()

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            self._follow()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UnavailableError(f"the log of uses {self.path}: {reason}") from error
