"""The file of a store: made, opened, upgraded, and its transactions."""

import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

from facever.core.console import warn
from facever.errors import GalleryError
from facever.gallery.records import Binding, Settings, shown
from facever.gallery.store.facts import Facts, facts_in, under_way
from facever.gallery.store.log import INDEX_BYTES, Log, checkpoint, log_bytes, require_regular
from facever.gallery.store.schema import (
    APPLICATION_ID,
    FORMAT,
    make_tables,
    new_facts,
    write_facts,
)
from facever.gallery.store.statements import explained, now, record
from facever.gallery.store.upgrading import upgrade_measured, upgrade_people, upgrade_vectors

FILE = "gallery.db"
_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)
_PAGE_BYTES = 16384  # a 512-d vector takes half of SQLite's usual page and would waste the rest

T = TypeVar("T")
Seen = tuple[int, int, int, int]


class StoreFile:
    """An open store's file.

    Threads may share one: reading and writing have a connection each, and each is used by one
    thread at a time.

    Args:
        path: The file.
        wait: Seconds to wait for another writer.
    """

    def __init__(self, path: Path, wait: float) -> None:
        self.path, self._wait = path, wait
        self._read_lock, self._write_lock = threading.RLock(), threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._memory: dict[str, Any] = {}  # what was read of one state of the store
        self._version = -1  # which state that is
        self.read_only = not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
        self._unlocked = False  # no lock keeps writers off: the file is watched instead
        self._takes_away = False  # whether the change under way removes something
        self._log = Log(path, wait, self._read_lock)
        self._reader = self._connect_reader()
        self._file, self._closed = self._identity(), False

    # -- the life of the file ---------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: Path,
        binding: Binding,
        settings: Settings | None = None,
        shown_as: Path | None = None,
    ) -> None:
        """Make the file of a new, empty store in `folder`, readable by its owner only.

        Args:
            folder: Where to make it.
            binding: What the gallery is bound to.
            settings: What is chosen for it.
            shown_as: What the folder will be called, for messages.

        Raises:
            GalleryError: It cannot be written.
        """
        path = folder / FILE
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        facts = {
            **asdict(binding),
            "gallery": uuid.uuid4().hex,
            "created": now(),
            **new_facts(),
            **asdict(settings or Settings()),
        }
        shown = (shown_as or folder) / FILE
        with explained(shown), closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute("BEGIN")
            make_tables(db)
            write_facts(db, facts)
            record(db, "create", people=0, images=0)
            db.execute("COMMIT")

    @classmethod
    def open(cls, folder: Path, wait: float) -> Self:
        """Open the store of a gallery; one of an older format is upgraded.

        Where it cannot be written it is open for reading only.

        Args:
            folder: The gallery.
            wait: Seconds to wait for another writer.

        Raises:
            GalleryError: No store there, of a newer format, damaged, or not to be opened.
        """
        path = folder / FILE
        try:
            there = path.is_file()
        except OSError as error:
            raise GalleryError(f"{folder} cannot be read: {error.strerror}") from error
        if not there:
            raise GalleryError(f"no gallery at {folder}; make one with 'facever gallery create'")
        require_regular(path)
        with explained(path, reading=True):
            store = cls(path, wait)
            try:
                store._check_format()
                store._known()
            except BaseException:
                store.close()
                raise
        return store

    def _check_format(self) -> None:
        application = self._reader.execute("PRAGMA application_id").fetchone()[0]
        version = self._format_in(self._reader)
        if application != APPLICATION_ID:
            raise GalleryError(f"{self.path} is not the store of a gallery")
        if version > FORMAT:
            raise GalleryError(
                f"{self.path} has format {version}, newer than this facever reads ({FORMAT}); "
                "update facever (pip install -U facever)"
            )
        if version == FORMAT:
            return
        if self.read_only:
            raise GalleryError(
                f"{self.path} has the older format {version} and cannot be written by this user: "
                "open it once as a user who may write, and it is upgraded"
            )
        said: list[str] = []
        with self.writing(much=True) as db:
            if (version := self._format_in(db)) < FORMAT:  # nobody else did meanwhile
                make_tables(db, version)
                facts = facts_in(db, self.path)
                upgrade_measured(db)
                said += upgrade_people(db)
                said += upgrade_vectors(
                    db, facts.settings.storage, facts.binding.dimension, under_way(db, self.path)
                )
        for line in said:
            warn(f"{self.path} was upgraded to format {FORMAT}: {line}")

    @staticmethod
    def _format_in(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the connections."""
        with self._write_lock, self._read_lock:  # in the order that writers take them
            self._closed = True
            self._reader.close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _connect_reader(self) -> sqlite3.Connection:
        """Return a connection that reads, also where the disk has no room for the log's index."""
        try:
            return self._connect()
        except sqlite3.OperationalError as error:
            if self._unlocked or error.sqlite_errorcode & 0xFF not in _NO_ROOM:
                raise
            if shutil.disk_usage(self.path.parent).free >= INDEX_BYTES:
                raise
            if log_bytes(self.path):
                raise GalleryError(
                    f"{self.path}: the disk is full, and without {INDEX_BYTES} free bytes the "
                    "changes in its log cannot be read"
                ) from error
            return self._connect(unlocked=True)

    def _connect(self, unlocked: bool = False) -> sqlite3.Connection:
        """Return a connection.

        Args:
            unlocked: Read the file as it is, without a lock; its log is empty.
        """
        mode, self._unlocked = "mode=rw", unlocked
        if unlocked:
            mode, self._seen = "mode=ro&immutable=1", self._look()
        elif self.read_only:
            # Without a log and a folder to make one in, SQLite reads a file only when told that
            # it does not change. It may all the same: then another user writes.
            fixed, log = not os.access(self.path.parent, os.W_OK), log_bytes(self.path)
            if fixed and log and not self.path.with_name(f"{self.path.name}-shm").exists():
                raise GalleryError(
                    f"{self.path} was copied while in use, with changes that are only in its log: "
                    "open it once where it can be written"
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
        )
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA synchronous = FULL")  # opens the log
        except BaseException:
            db.close()
            raise
        return db

    # -- transactions -----------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees one state of the store throughout."""
        with self._read_lock:
            self._require_open()
            if self._reader.in_transaction:  # within another, which explains its errors
                yield self._reader
                return
            with self._one_state():
                yield self._reader

    @contextmanager
    def _one_state(self) -> Iterator[None]:
        """Hold the reading connection at the newest state."""
        with explained(self.path, reading=True):
            if self._unlocked and self._look() != self._seen:
                self._reader.close()
                self._reader, self._file = self._connect_reader(), self._identity()
                self._version = -1
            self._require_same_file()
            self._reader.execute("BEGIN")
            try:
                (version,) = self._reader.execute("PRAGMA data_version").fetchone()
                if version != self._version:  # someone has changed something
                    self._memory.clear()
                    self._version = version
                yield
                self._require_unchanged()
            except sqlite3.Error:
                self._require_unchanged()  # else the error is what it says
                raise
            finally:
                if self._reader.in_transaction:  # else an error has ended it
                    self._reader.execute("ROLLBACK")

    @contextmanager
    def writing(self, much: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield the connection that writes; all that it does is kept, or nothing on an error.

        Within it nobody else writes, and `reading` sees the state of before.

        Args:
            much: More may be written than the disk has room for. What is in the log is brought
                home first, so that a log which filled the disk in vain can be dropped.
        """
        self.require_writable()
        with self._write_lock, explained(self.path, self._wait):
            self._require_open()
            self._require_same_file()
            if self._writer is None:
                self._writer = self._connect_writer()
            self._log.finish_removals(self._writer)
            if much:
                checkpoint(self._writer, "PASSIVE")
            self._writer.execute("BEGIN IMMEDIATE")
            self._takes_away = False
            try:
                _refuse_planted(self._writer, self.path)
                yield self._writer
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                    self._roll_back()
                    checkpoint(self._writer, "TRUNCATE")
                raise
            finally:
                self._roll_back()
            if self._takes_away:
                self._log.bring_home(self._writer)

    def _connect_writer(self) -> sqlite3.Connection:
        unlocked = self._unlocked  # is of the connection that reads
        try:
            return self._connect()
        finally:
            self._unlocked = unlocked

    def _roll_back(self) -> None:
        assert self._writer is not None
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def require_writable(self) -> None:
        """Refuse a change where nothing can be written.

        Raises:
            GalleryError: The file or its folder cannot be written by this user.
        """
        if self.read_only:
            raise GalleryError(
                f"{self.path} cannot be written by this user; it is open for reading only"
            )

    def _require_unchanged(self) -> None:
        if self._unlocked and self._look() != self._seen:
            raise GalleryError(f"{self.path} was written to while it was read; try again")

    def _require_open(self) -> None:
        if self._closed:
            raise GalleryError(f"{self.path} is closed; open the gallery again")

    def _require_same_file(self) -> None:
        """Refuse to go on with a file that is not at its path any more.

        It would answer with what others removed since, and its changes would be lost.
        """
        try:
            found = self._identity()
        except OSError as error:
            raise GalleryError(
                f"{self.path} is gone: it was moved or deleted while it was open"
            ) from error
        if found != self._file:
            raise GalleryError(
                f"{self.path} was replaced while it was open; open the gallery again"
            )

    def _identity(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def _look(self) -> Seen:
        """Return what tells whether the file or its log was written to."""
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size, log_bytes(self.path)

    # -- what it is -------------------------------------------------------------------------

    @property
    def gallery(self) -> str:
        """The gallery's own identifier."""
        return self._known().gallery

    @property
    def created(self) -> str:
        """When the gallery was made."""
        return self._known().created

    @property
    def binding(self) -> Binding:
        """What the gallery is bound to now; a migration changes it."""
        return self._known().binding

    @property
    def settings(self) -> Settings:
        """What is chosen for the gallery now."""
        return self._known().settings

    def generation(self) -> str:
        """Return what changes whenever all entries become others."""
        return self._known().generation

    def _known(self) -> Facts:
        return self._remembered("facts", lambda db: facts_in(db, self.path))

    def _remembered(self, what: str, read: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `read` returns, which is called once for each state of the store."""
        with self._read_lock:
            self._require_open()
            if self._reader.in_transaction and what in self._memory:  # within `reading`
                return self._memory[what]  # type: ignore[no-any-return]
            with self.reading() as db:
                if what not in self._memory:
                    self._memory[what] = read(db)
                return self._memory[what]  # type: ignore[no-any-return]


def planted(db: sqlite3.Connection) -> list[str]:
    """Return the names of triggers and views, of which a gallery has none."""
    sql = "SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'view') ORDER BY name"
    return [str(name) for (name,) in db.execute(sql)]


def _refuse_planted(db: sqlite3.Connection, path: Path) -> None:
    """Refuse to change a store in which something would act on the change.

    Raises:
        GalleryError: It has a trigger or a view.
    """
    if names := planted(db):
        raise GalleryError(
            f"{path} has a trigger or view that no gallery has, {shown(names[0])}: somebody put it "
            "there, and nothing is changed while it is; drop it with SQLite, or restore a copy"
        )
