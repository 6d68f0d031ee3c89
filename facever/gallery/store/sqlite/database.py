"""The SQLite file of a store: connections, transactions, and plain errors."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from facever.errors import GalleryError, UnavailableError
from facever.gallery.records import shown
from facever.gallery.store.database import Database, Transaction
from facever.gallery.store.sqlite.connection import SqliteConnection
from facever.gallery.store.sqlite.log import INDEX_BYTES, Log, checkpoint, log_bytes

T = TypeVar("T")
Seen = tuple[int, int, int, int]

_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)
_IN_USE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_STEP = 0.02  # seconds between two attempts to empty the log


class SqliteDatabase(Database):
    """An open SQLite file of a store.

    Args:
        path: The file.
        wait: Seconds to wait for another writer.
    """

    def __init__(self, path: Path, wait: float) -> None:
        super().__init__(str(path), path.parent, wait)
        self.path = path
        self._writer: SqliteConnection | None = None
        self._locked = not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        self._unlocked = False  # opened without a lock: the file is checked for changes instead
        self._log = Log(path, wait, self._read_lock)
        self._reader = self._connect_reader()
        self._file = self._identity()

    @property
    def read_only(self) -> bool:
        """Whether this user cannot write to the file or its folder."""
        return self._locked

    def _disconnect(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def again(self) -> Self:
        """Open the same file once more, with connections of its own."""
        return type(self)(self.path, self._wait)

    # -- reading ----------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a transaction that reads one state of the store; a nested one reads the same
        state.
        """
        with self._read_lock:
            self._require_open()
            if self._reader.in_transaction:  # nested: the outer one converts errors
                yield self._of_reader()
                return
            with self._one_state():
                yield self._of_reader()

    def _of_reader(self) -> Transaction:
        return Transaction(self._reader, self.name, self._damage, self.facts)

    def _is_reading(self) -> bool:
        return self._reader.in_transaction

    @contextmanager
    def _one_state(self) -> Iterator[None]:
        """Keep the reading connection at the newest state."""
        with explained(self.path, reading=True):
            if self._unlocked and self._look() != self._seen:
                self._reader.close()
                self._reader, self._file = self._connect_reader(), self._identity()
                self._version = None
            self._require_same_file()
            self._reader.execute("BEGIN")
            try:
                self._follow(self._reader.execute("PRAGMA data_version").fetchone())
                yield
                self._require_unchanged()
            except sqlite3.Error:
                self._require_unchanged()  # if unchanged, the error is real
                raise
            finally:
                if self._reader.in_transaction:  # otherwise an error has ended it
                    self._reader.execute("ROLLBACK")

    # -- writing ----------------------------------------------------------------------------

    @contextmanager
    def writing(self, much: bool = False) -> Iterator[Transaction]:
        """Yield the writing transaction.

        Until it ends, no one else can write, and `reading` sees the state before it.

        Args:
            much: The transaction may write more than fits on the disk. The log is written back
                first, so that a log that has filled the disk can be discarded.
        """
        self.require_writable()
        with self._turn(), explained(self.path, self._wait):
            self._require_same_file()
            if self._writer is None:
                self._writer = self._connect_writer()
            writer = self._writer
            self._log.finish_removals(writer)
            if much:
                checkpoint(writer, "PASSIVE")
            writer.execute("BEGIN IMMEDIATE")
            change = self._changing(writer)
            try:
                _refuse_planted(writer, self.path)
                yield change
                writer.execute("COMMIT")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                    _roll_back(writer)
                    checkpoint(writer, "TRUNCATE")
                raise
            finally:
                _roll_back(writer)
            if change.removes:
                self._log.bring_home(writer)

    def rewrite(self) -> None:
        """Rewrite the file without removed data, and empty its log.

        Raises:
            GalleryError: Another process keeps reading or writing, or the disk has no room.
        """
        with self.writing():  # opens the connection, and blocks other writers
            pass
        with self._write_lock, self._read_lock, explained(self.path, self._wait):
            assert self._writer is not None
            self._empty_log(self._writer)
            self._writer.execute("VACUUM")
            self._empty_log(self._writer)

    def size(self) -> int:
        """Return the bytes of the files in the gallery's folder, as they are when it is closed."""
        shared = self.path.with_name(f"{self.path.name}-shm")  # of open connections only
        return self._bytes_in_folder() - (shared.stat().st_size if shared.exists() else 0)

    def _empty_log(self, db: sqlite3.Connection) -> None:
        until = time.monotonic() + self._wait
        while True:
            try:
                if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return
            except sqlite3.OperationalError as error:  # for example a full disk
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _IN_USE:
                    raise
            if time.monotonic() > until:
                raise UnavailableError(
                    f"{self.path}: another process keeps reading it (waited {self._wait:g} s), "
                    "and its log still contains removed data; purge again when that process has "
                    "finished"
                )
            time.sleep(_STEP)

    # -- connections ------------------------------------------------------------------------

    def _connect_reader(self) -> SqliteConnection:
        """Return a reading connection, even if the disk has no room for the log's index."""
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            if self._unlocked or error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise
            if shutil.disk_usage(self.path.parent).free >= INDEX_BYTES:
                raise
            if log_bytes(self.path):
                raise UnavailableError(
                    f"{self.path}: the disk is full; free at least {INDEX_BYTES} bytes to read "
                    "the changes in its log"
                ) from error
            return self._connect(unlocked=True)

    def _connect_writer(self) -> SqliteConnection:
        unlocked = self._unlocked  # belongs to the reading connection
        try:
            return self._connect()
        finally:
            self._unlocked = unlocked

    def _connect(self, unlocked: bool = False) -> SqliteConnection:
        """Return a connection.

        Args:
            unlocked: Read the file without a lock; its log is empty.
        """
        mode, self._unlocked = "mode=rw", unlocked
        if unlocked:
            mode, self._seen = "mode=ro&immutable=1", self._look()
        elif self._locked:
            # Without a log, and without permission to create one, SQLite reads a file only if told
            # that it is immutable. Another user may still change it.
            fixed, log = not os.access(self.path.parent, os.W_OK), log_bytes(self.path)
            if fixed and log and not self.path.with_name(f"{self.path.name}-shm").exists():
                raise GalleryError(
                    f"{self.path} was copied while in use, and its log has changes that are not "
                    "in the file: open it once with write permission"
                )
            self._unlocked = fixed and not log
            mode = "mode=ro&immutable=1" if self._unlocked else "mode=ro"
            self._seen = self._look()
        db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode}",
            uri=True,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteConnection,
        )
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA synchronous = FULL")  # also opens the log
        except BaseException:
            db.close()
            raise
        return db

    def _require_unchanged(self) -> None:
        if self._unlocked and self._look() != self._seen:
            raise UnavailableError(f"{self.path} was changed while it was read; try again")

    def _require_same_file(self) -> None:
        """Refuse to use a file that is no longer at its path.

        It would return data that others have removed since, and its changes would be lost.
        """
        try:
            found = self._identity()
        except OSError as error:
            raise UnavailableError(
                f"{self.path} is gone: it was moved or deleted while it was open"
            ) from error
        if found != self._file:
            raise UnavailableError(
                f"{self.path} was replaced while it was open; open the gallery again"
            )

    def _identity(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def _look(self) -> Seen:
        """Return a value that changes when the file or its log is written."""
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size, log_bytes(self.path)


@contextmanager
def explained(path: Path, wait: float = 0, *, reading: bool = False) -> Iterator[None]:
    """Convert SQLite's errors into one line with a remedy."""
    unchanged = "" if reading else "; nothing was changed"
    try:
        yield
    except sqlite3.Error as error:
        reasons = {
            sqlite3.SQLITE_BUSY: f"another process is writing to it (waited {wait:g} s); try again",
            sqlite3.SQLITE_READONLY: "it cannot be written by this user",
            sqlite3.SQLITE_CANTOPEN: "it or its folder cannot be read and written by this user",
            sqlite3.SQLITE_FULL: f"the disk is full{unchanged}",
            sqlite3.SQLITE_IOERR: f"the disk reports an error{unchanged}",
            sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a copy",
            sqlite3.SQLITE_NOTADB: "it is not an SQLite file; restore it from a copy",
        }
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise UnavailableError(f"{path}: {reasons.get(code, error)}") from error


def _refuse_planted(db: SqliteConnection, path: Path) -> None:
    """Refuse to change a store with triggers or views, which could modify the change.

    Raises:
        GalleryError: The store has a trigger or a view.
    """
    if names := db.planted():
        raise GalleryError(
            f"{path} has an unknown trigger or view, {shown(names[0])}: changes are refused; "
            "drop it with SQLite, or restore a copy"
        )


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")
