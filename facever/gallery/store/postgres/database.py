"""The database of a gallery in PostgreSQL: transactions in the gallery's schema."""

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from facever.errors import UnavailableError
from facever.gallery.pgvector import PgvectorKind
from facever.gallery.records import Change, Entries
from facever.gallery.store.database import Database, Transaction
from facever.gallery.store.entry_search import EntrySearch
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.postgres.connection import PostgresConnection
from facever.gallery.store.postgres.errors import error_of, explained, is_lost
from facever.gallery.store.postgres.search_table import (
    differences,
    follow,
    forget,
    table_search,
    trial_search,
)
from facever.gallery.store.postgres.session import Session, connect

if TYPE_CHECKING:
    import psycopg

_STEP = 0.05  # seconds between two attempts
_ONE_STATE = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ALONE = "ISOLATION LEVEL READ COMMITTED READ WRITE"  # what others committed before is read
_NEWEST = "SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
_LOCK = "SELECT last FROM numbers WHERE name = 'changes' FOR UPDATE"  # of the gallery's writers
_READ_ONLY = (
    "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"
    " OR NOT has_table_privilege('changes', 'INSERT')"
)


class PostgresDatabase(Database):
    """An open gallery in PostgreSQL. A lost connection is made again by the next call.

    Args:
        address: Where it is.
        wait: Seconds to wait for another writer.
        folder: Folder for derived files; by default one below the address's `cache`, or a temporary
            one that is deleted with this object.

    Raises:
        UnavailableError: There is no connection, or this role may not read the gallery.
    """

    def __init__(self, address: GalleryAddress, wait: float, folder: Path | None = None) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None and address.cache is not None:
            folder = _private_folder(address.cache / address.gallery)
        elif folder is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="facever-", ignore_cleanup_errors=True
            )
            folder = Path(self._temporary.name)
        super().__init__(address.name, folder, wait)
        self.address = address
        self._reader, self._writer = Session(address), Session(address)
        self._in_reading = False
        with explained(self.name, wait, reading=True):
            self._locked = bool(self._reader.begin("READ ONLY", _READ_ONLY)[0])
            self._reader.roll_back()

    @property
    def read_only(self) -> bool:
        """Whether the server or this role's rights allowed no change at the opening."""
        return self._locked

    @property
    def index_writable(self) -> bool:
        """Whether the index can be written: always, to a folder of this machine."""
        return True

    @property
    def folder_is_temporary(self) -> bool:
        """Whether the folder for derived files is a new one, deleted when this is closed."""
        return self._temporary is not None

    def again(self) -> Self:
        """Open the same gallery once more, with connections of its own."""
        return type(self)(self.address, self._wait, self.folder)

    def _disconnect(self) -> None:
        self._reader.close()
        self._writer.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    # -- reading ----------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Yield a transaction that reads one state; a nested one reads the same state."""
        with self._read_lock:
            self._require_open()
            if self._in_reading:  # nested: the outer one converts errors
                yield self._of_reader()
                return
            with explained(self.name, self._wait, reading=True):
                self._follow(self._reader.begin(_ONE_STATE, _NEWEST))
                self._in_reading = True
                try:
                    yield self._of_reader()
                finally:
                    self._in_reading = False
                    self._reader.roll_back()

    def _of_reader(self) -> Transaction:
        return Transaction(self._reader.db, self.name, self._damage, self.facts)

    def _is_reading(self) -> bool:
        return self._in_reading

    def ids_at(self, change: Change, keys: Sequence[int]) -> dict[int, str] | None:
        """Return the ids of people by one message, if the newest change is this one; else None."""
        schema = self.address.schema
        sql = (
            f"SELECT p.person, p.id FROM ({_NEWEST.replace('changes', f'{schema}.changes')}) c"
            f" LEFT JOIN {schema}.people p ON p.person = ANY (?::bigint[])"
            " WHERE c.change = ? AND c.stamp = ?"
        )
        with self._read_lock:
            self._require_open()
            if self._in_reading:
                return None
            with explained(self.name, self._wait, reading=True):
                rows = self._reader.ask(sql, [keys, change.number, change.stamp])
        return {key: id_ for key, id_ in rows if key is not None} if rows else None

    @property
    def connection(self) -> int:
        """Number of the reading connection."""
        return self._reader.made

    # -- writing ----------------------------------------------------------------------------

    @contextmanager
    def writing(self, much: bool = False) -> Iterator[Transaction]:  # noqa: ARG002 - no log to empty
        """Yield the writing transaction; the gallery's other writers wait for its end."""
        self.require_writable()
        with self._turn(), explained(self.name, self._wait):
            waiting = f"SET LOCAL lock_timeout TO {self._milliseconds()}"
            try:
                (last,) = self._writer.begin(_ALONE, f"{waiting}; {_LOCK}")
                change = self._changing(self._writer.db)
                yield change
                follow(change)
                self._commit(last)
            finally:
                self._writer.roll_back()

    def _commit(self, last: int) -> None:
        """Commit; if the connection is lost meanwhile, look up whether the change was made.

        Args:
            last: Number of the last change before this one.

        Raises:
            UnavailableError: Nothing can be looked up.
            psycopg.Error: The change was not made.
        """
        import psycopg

        made = self._writer.db.execute(_NEWEST).fetchone()
        try:
            self._writer.commit()
        except psycopg.Error as error:
            if not is_lost(error):
                raise
            found = None if made is None or made[0] == last else self._has_change(*made)
            if found is None:
                raise error_of(error, self.name, commits=True) from error
            if not found:
                raise

    def _has_change(self, number: int, stamp: str) -> bool | None:
        """Return whether a change was made whose connection was lost; None if no one can be asked.

        It waits for the change's end with the lock of the writers, and for a server or one that
        takes its place as long as writers wait.
        """
        import psycopg

        until, session = time.monotonic() + self._wait, Session(self.address)
        while True:
            try:
                session.begin(_ALONE, f"SET LOCAL lock_timeout TO {self._milliseconds()}; {_LOCK}")
                sql = "SELECT 1 FROM changes WHERE change = ? AND stamp = ?"
                found = session.db.execute(sql, [number, stamp]).fetchone() is not None
                session.commit()  # the lock is a write: replicas then have what was found
                return found
            except (psycopg.Error, UnavailableError):
                if time.monotonic() > until:
                    return None
            finally:
                session.close()
            time.sleep(_STEP)

    # -- searching in the database ----------------------------------------------------------

    can_search = True

    def entry_search(self, read: Transaction) -> EntrySearch:
        """Return the search of the entries by pgvector.

        Raises:
            SearchTableError: The table that it searches is missing.
        """
        return table_search(read)

    @contextmanager
    def trial_search(self, kind: PgvectorKind, entries: Entries) -> Iterator[EntrySearch]:
        """Yield a search of some entries in a temporary table of a connection of its own."""
        with explained(self.name, reading=True), connect(self.address) as raw:
            raw.execute("BEGIN")
            yield trial_search(PostgresConnection(raw), self.name, kind, entries)
            raw.execute("ROLLBACK")

    def forget_search(self, change: Transaction) -> None:
        """Let the end of a change make the table for pgvector anew."""
        forget(change)

    def search_problems(self, read: Transaction) -> Iterator[str]:
        """Yield how the table for pgvector differs from the entries."""
        yield from differences(read)

    # -- maintenance ------------------------------------------------------------------------

    def rewrite(self) -> None:
        """Rewrite the gallery's tables without removed rows. Each is locked meanwhile.

        Raises:
            UnavailableError: Others keep reading or writing, this role does not own the tables, or
                the disk has no room.
        """
        self.require_writable()
        until = time.monotonic() + self._wait
        with self._turn(), explained(self.name, self._wait), connect(self.address) as raw:
            raw.execute(f"SET lock_timeout TO {self._milliseconds()}".encode())
            sql = (
                b"SELECT relname::text FROM pg_class WHERE relkind = 'r'"
                b" AND relnamespace = %s::regnamespace ORDER BY 1"
            )
            for (table,) in raw.execute(sql, [self.address.schema]).fetchall():
                while self._rows_kept_by_others(raw, f"{self.address.schema}.{table}"):
                    if time.monotonic() > until:
                        raise UnavailableError(
                            f"{self.name}: another transaction in this database is older than the "
                            f"removal (waited {self._wait:g} s), and the table {table} still "
                            "contains removed rows; purge again when it has ended"
                        )
                    time.sleep(_STEP)

    def size(self) -> int:
        """Return the bytes of the gallery's tables and indexes, and of derived files here."""
        sql = (
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = current_schema()::regnamespace"
        )
        with self.reading() as read:
            return int(read.first(sql)[0]) + self._bytes_in_folder()

    def _rows_kept_by_others(self, raw: "psycopg.Connection", table: str) -> int:
        """Rewrite a table; return the number of removed rows that others may still read."""
        kept, refused = 0, ""

        def hear(said: "psycopg.errors.Diagnostic") -> None:  # it is empty after this call
            nonlocal kept, refused
            if said.severity_nonlocalized == "WARNING":
                refused = said.message_primary or "refused"
            found = re.match(r"\d+", said.message_detail or "")
            kept += int(found[0]) if found else 0

        raw.add_notice_handler(hear)
        try:
            raw.execute(f"VACUUM (FULL, VERBOSE, ANALYZE) {table}".encode())
        finally:
            raw.remove_notice_handler(hear)
        if refused:
            raise UnavailableError(f"{self.name}: {refused}; purge as the owner of the tables")
        return kept

    def _milliseconds(self) -> int:
        return max(1, round(1000 * self._wait))  # 0 would be without an end


def _private_folder(folder: Path) -> Path:
    """Make a folder for its owner only if it is not there.

    Raises:
        UnavailableError: It cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"cache={folder.parent}: {error.strerror}: {folder}") from error
    return folder
