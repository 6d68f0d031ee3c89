"""A connection that is made when it is needed, and made again when it was lost.

Every transaction sets what it needs for itself, so that a pooler may give each one another
connection to the server.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.postgres.connection import PostgresConnection
from facever.gallery.store.postgres.errors import connecting, is_lost

if TYPE_CHECKING:
    import psycopg

_SECONDS = 10  # to connect, unless the address says otherwise


class Session:
    """Transactions in a gallery's schema, one at a time.

    Args:
        address: Where the gallery is.

    Attributes:
        made: Number of connections that were made.
    """

    def __init__(self, address: GalleryAddress) -> None:
        self.address = address
        self.made = 0  # connections
        self._raw: psycopg.Connection | None = None
        self._ending = False  # the server has not said yet that it rolled back

    @property
    def db(self) -> PostgresConnection:
        """The connection that was made."""
        assert self._raw is not None
        return PostgresConnection(self._raw)

    def begin(self, mode: str, words: str = "") -> Any:
        """Begin a transaction by one message to the server.

        Args:
            mode: Isolation level and access mode.
            words: Further statements.

        Returns:
            The first row of the last statement.
        """
        schema = f"SET LOCAL search_path TO {self.address.schema}"
        words = f"BEGIN {mode}; {schema}{'; ' if words else ''}{words}"
        cursor = self._connected(lambda db: db.raw.execute(words.encode()))
        while cursor.nextset():
            pass
        return cursor.fetchone() if cursor.description else None

    def ask(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Return the rows of a query that is a transaction of its own, without a schema."""
        return self._connected(lambda db: db.execute(sql, values)).fetchall()

    def commit(self) -> None:
        """End the transaction, and keep its changes."""
        self.db.raw.execute(b"COMMIT")

    def roll_back(self) -> None:
        """End the transaction, if there is one. The next one waits for the server's answer."""
        import psycopg
        from psycopg.pq import TransactionStatus

        if self._raw is None or self._ending:
            return
        status = self._raw.info.transaction_status
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            with suppress(psycopg.Error):
                self._raw.pgconn.send_query(b"ROLLBACK")
                self._ending = self._raw.pgconn.flush() == 0
        if status != TransactionStatus.IDLE and not self._ending:  # the connection is lost
            self.close()

    def close(self) -> None:
        """Close the connection; `begin` makes another one."""
        if self._raw is not None:
            self._raw.close()
            self._raw, self._ending = None, False

    def _connected(self, do: "Callable[[PostgresConnection], psycopg.Cursor]") -> "psycopg.Cursor":
        """Do the first thing of a transaction; do it again if the connection was lost before."""
        import psycopg

        known = self._raw is not None
        try:
            return do(self._ready())
        except psycopg.Error as error:
            self.roll_back()
            if not (known and is_lost(error)):
                raise
            return do(self._ready())  # the server was restarted meanwhile

    def _ready(self) -> PostgresConnection:
        """Return the connection, outside a transaction."""
        if self._raw is None:
            self._raw = connect(self.address)
            self.made += 1
        while self._ending:
            self._ending = self._raw.pgconn.get_result() is not None
        return self.db


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
            connect_timeout=given.get("connect_timeout") or _SECONDS,
        )
