"""Where the log of uses is kept: a file of SQLite, or a table in PostgreSQL."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from facever.errors import UnavailableError
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.sqlite.connection import SqliteConnection

FILE = "uses.db"
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


class UseTable(Protocol):
    """The table `uses`; one thread at a time uses it.

    Attributes:
        key: Key of the hashes of images.
    """

    key: bytes

    def reading(self) -> AbstractContextManager[StoreConnection]:
        """Yield a connection that reads."""

    def writing(self) -> AbstractContextManager[StoreConnection]:
        """Yield a connection in a transaction."""

    def set_key(self, db: StoreConnection, key: bytes) -> None:
        """Replace the key, in a transaction."""

    def purge(self) -> None:
        """Rewrite the table without erased rows."""

    def close(self) -> None:
        """Close the file or the connection."""


class SqliteUses:
    """The file of a log; processes may share it.

    Args:
        folder: The gallery's folder.
        wait: Seconds to wait for another process that writes.

    Raises:
        UnavailableError: The log cannot be opened or written.
    """

    def __init__(self, folder: Path, wait: float) -> None:
        self.path, self._wait = folder / FILE, wait
        with self._explained():
            self._open()

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether there is a log in a folder."""
        return (folder / FILE).exists()

    @contextmanager
    def reading(self) -> Iterator[StoreConnection]:
        """Yield a connection that reads."""
        with self._explained():
            self._follow()
            yield self._db

    @contextmanager
    def writing(self) -> Iterator[StoreConnection]:
        """Yield a connection in a transaction."""
        with self._explained():
            self._follow()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def set_key(self, db: StoreConnection, key: bytes) -> None:
        """Replace the key, in a transaction."""
        db.execute("UPDATE facts SET value = ? WHERE name = 'key'", [key])
        self.key = key

    def purge(self) -> None:
        """Rewrite the file without erased rows."""
        with self._explained():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _open(self) -> None:
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(
            self.path,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteConnection,
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # a killed process loses no row
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.executescript(_SCHEMA)
        made = "INSERT OR IGNORE INTO facts VALUES ('key', ?)"
        self._db.execute(made, [secrets.token_bytes(32)])
        (self.key,) = self._db.execute("SELECT value FROM facts WHERE name = 'key'").fetchone()
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
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UnavailableError(f"the log of uses {self.path}: {reason}") from error


class PostgresUses:
    """The table of a log beside those of the gallery, with a connection of its own.

    Args:
        address: Where the gallery is.

    Raises:
        UnavailableError: There is no connection, or no gallery.
    """

    def __init__(self, address: GalleryAddress) -> None:
        from facever.gallery.store.postgres.session import Session

        self._name = f"the log of uses of {address.name}"
        self._session = Session(address)
        with self._transaction("READ ONLY") as db:
            (self.key,) = db.execute("SELECT key FROM uses_key").fetchone()

    def reading(self) -> AbstractContextManager[StoreConnection]:
        """Yield a connection that reads."""
        return self._transaction("READ ONLY")

    def writing(self) -> AbstractContextManager[StoreConnection]:
        """Yield a connection in a transaction."""
        return self._transaction("READ WRITE")

    def set_key(self, db: StoreConnection, key: bytes) -> None:
        """Replace the key, in a transaction."""
        db.execute("UPDATE uses_key SET key = ?", [key])
        self.key = key

    def purge(self) -> None:
        """Do nothing: `Gallery.purge` rewrites every table of the gallery."""

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    @contextmanager
    def _transaction(self, mode: str) -> Iterator[StoreConnection]:
        from facever.gallery.store.postgres.errors import explained

        with explained(self._name, reading=mode == "READ ONLY", commits=mode != "READ ONLY"):
            try:
                self._session.begin(mode)
                yield self._session.db
                self._session.commit()
            finally:
                self._session.roll_back()
