"""The database of a gallery in PostgreSQL: connections, and transactions in the gallery's schema.

Every transaction sets what it needs for itself, so that a pooler may give each one another
connection to the server.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from facever.errors import UnavailableError
from facever.gallery.store.database import Database, Transaction
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.postgres.connection import PostgresConnection
from facever.gallery.store.postgres.errors import connecting, explained, is_lost

if TYPE_CHECKING:
    import psycopg

_STEP = 0.05  # seconds between two attempts to rewrite
_CONNECT = 10  # seconds
_READ_ONLY = """
SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
    OR NOT has_table_privilege(%s, 'INSERT')
"""


class PostgresDatabase(Database):
    """An open gallery in PostgreSQL. A lost connection is made again by the next call.

    Args:
        address: Where it is.
        wait: Seconds to wait for another writer.
        folder: Folder for derived files; by default one below the address's `cache`, or a temporary
            one that is deleted with this object.
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
        self._writer: psycopg.Connection | None = None
        self._reader: psycopg.Connection | None = None
        self._locked = False
        self._in_reading = False

    @property
    def read_only(self) -> bool:
        """Whether the server or this role's rights allow no change."""
        return self._locked

    def again(self) -> Self:
        """Open the same gallery once more, with connections of its own."""
        other = type(self)(self.address, self._wait, self.folder)
        other._locked = self._locked
        return other

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
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
                self._begin_reading()
                self._in_reading = True
                try:
                    yield self._of_reader()
                finally:
                    self._in_reading = False
                    self._reader = _rolled_back(self._reader)

    def _of_reader(self) -> Transaction:
        assert self._reader is not None
        return Transaction(PostgresConnection(self._reader), self.name, self._damage, self.facts)

    def _is_reading(self) -> bool:
        return self._in_reading

    def _begin_reading(self) -> None:
        """Begin at the newest state, in one message to the server."""
        import psycopg

        words = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
            f" SET LOCAL search_path TO {self.address.schema};"
            " SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
        )
        known = self._reader is not None
        if self._reader is None:
            self._reader = self._connect_reader()
        try:
            found = _last_row(self._reader, words)
        except psycopg.Error as error:
            self._reader = _rolled_back(self._reader)
            if not (known and is_lost(error)):
                raise
            self._reader = self._connect_reader()  # the server was restarted meanwhile
            found = _last_row(self._reader, words)
        self._follow(found)

    # -- writing ----------------------------------------------------------------------------

    @contextmanager
    def writing(self, much: bool = False) -> Iterator[Transaction]:  # noqa: ARG002 - no log to empty
        """Yield the writing transaction; the gallery's other writers wait for its end."""
        self.require_writable()
        with self._turn(), explained(self.name, self._wait):
            self._begin_writing()
            assert self._writer is not None
            try:
                yield self._changing(PostgresConnection(self._writer))
                self._writer.execute(b"COMMIT")
            finally:
                self._writer = _rolled_back(self._writer)

    def _begin_writing(self) -> None:
        """Begin, and take the lock of the gallery's writers."""
        import psycopg

        words = (
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
            f" SET LOCAL search_path TO {self.address.schema};"
            f" SET LOCAL lock_timeout TO {self._milliseconds()};"
            " SELECT last FROM numbers WHERE name = 'changes' FOR UPDATE"
        )
        known = self._writer is not None
        if self._writer is None:
            self._writer = self._connect()
        try:
            _last_row(self._writer, words)
        except psycopg.Error as error:
            self._writer = _rolled_back(self._writer)
            if not (known and is_lost(error)):
                raise
            self._writer = self._connect()
            _last_row(self._writer, words)

    def rewrite(self) -> None:
        """Rewrite the gallery's tables without removed rows. Each is locked meanwhile.

        Raises:
            UnavailableError: Others keep reading or writing, this role does not own the tables, or
                the disk has no room.
        """
        self.require_writable()
        until = time.monotonic() + self._wait
        with self._turn(), explained(self.name, self._wait), self._connect() as raw:
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

    def _rows_kept_by_others(self, raw: "psycopg.Connection", table: str) -> int:
        """Rewrite a table; return the number of removed rows that others may still read."""
        said: list[psycopg.errors.Diagnostic] = []
        raw.add_notice_handler(said.append)
        try:
            raw.execute(f"VACUUM (FULL, VERBOSE, ANALYZE) {table}".encode())
        finally:
            raw.remove_notice_handler(said.append)
        kept = 0
        for one in said:
            if one.severity_nonlocalized == "WARNING":
                raise UnavailableError(f"{self.name}: {one.message_primary}; purge as its owner")
            found = re.match(r"\d+", one.message_detail or "")
            kept += int(found[0]) if found else 0
        return kept

    # -- connections ------------------------------------------------------------------------

    def _connect_reader(self) -> "psycopg.Connection":
        made = self._connect()
        (self._locked,) = _last_row(made, _READ_ONLY, [f"{self.address.schema}.changes"])
        return made

    def _connect(self) -> "psycopg.Connection":
        return connect(self.address)

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


def connect(address: GalleryAddress) -> "psycopg.Connection":
    """Connect to the database of an address.

    Raises:
        UnavailableError: There is no connection.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    with connecting(address):
        given = conninfo_to_dict(address.conninfo)
        return psycopg.connect(
            address.conninfo,
            autocommit=True,  # transactions begin and end by statements
            prepare_threshold=None,  # for poolers
            client_encoding="UTF8",
            fallback_application_name="facever",
            connect_timeout=given.get("connect_timeout") or _CONNECT,
        )


def _last_row(raw: "psycopg.Connection", words: str, values: list[Any] | None = None) -> Any:
    """Run statements in one message; return the first row of the last one."""
    cursor = raw.execute(words.encode(), values)
    while cursor.nextset():
        pass
    return cursor.fetchone()


def _rolled_back(raw: "psycopg.Connection | None") -> "psycopg.Connection | None":
    """End the transaction of a connection, if there is one; return None if it is lost."""
    import psycopg
    from psycopg.pq import TransactionStatus

    if raw is not None and raw.info.transaction_status != TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            raw.execute(b"ROLLBACK")
    if raw is None or raw.info.transaction_status != TransactionStatus.IDLE:
        if raw is not None:
            raw.close()
        return None
    return raw
