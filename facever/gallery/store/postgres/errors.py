"""Errors of PostgreSQL and of the way to it, each as one line with a remedy.

Details of the server's messages, which can quote rows, are left out, and so are passwords.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from facever.errors import GalleryError, UnavailableError
from facever.gallery.store.conflicts import ConflictError
from facever.gallery.store.postgres.address import PAGE, GalleryAddress

if TYPE_CHECKING:
    import psycopg

_CONFLICTS = ("40001", "40P01")  # serialisation failure, deadlock
NO_PGVECTOR = "the server has no pgvector: install it there, then run CREATE EXTENSION vector"
_START = "start the server, or correct the host and the port"
_LOST = "the connection was lost"
_GRANT = f"grant the right to this role ({PAGE})"

_CONNECTING = {
    "password authentication failed": "correct the user, and the password in PGPASSFILE",
    "no password supplied": "give the password by PGPASSFILE or PGSERVICE",
    "no pg_hba.conf entry": "allow this role and host in the server's pg_hba.conf",
    "SSL": f"check sslmode, sslrootcert and the server's certificate ({PAGE})",
    "certificate": f"check sslmode, sslrootcert and the server's certificate ({PAGE})",
    "too many": "close other connections, raise the limit, or use a pooler",
    "connection slots": "close other connections, raise max_connections, or use a pooler",
    "not permitted to log in": "give a role that can log in",
    "permission denied": _GRANT,
    "starting up": "try again",
    "shutting down": "try again",
    "recovery": "try again",
    "not yet accepting": "try again",
    "closed the connection": "try again",
    "Is the server running": _START,
    "resolve host": _START,
    "[Errno -": _START,  # of a name that is not resolved, by psycopg before 3.3
    "timeout": _START,
    "read-only": "no host in the address is a primary: correct it, or promote a replica",
    "does not exist": f"create it ({PAGE}), or correct the address",
}
"""What to do where no connection was made, by words of the reason; the first that fits."""

_ENDED = {
    "42501": _GRANT,
    "25006": (
        "it is a read-only replica, or set read-only; give the address of the primary, or all "
        "hosts and target_session_attrs=read-write"
    ),
    "53100": "the disk of the server is full; make room there",
    "53200": "the server has no memory left; try again, or with less at once",
    "53300": "the server has too many connections; close some, or use a pooler",
    "57014": "the statement was cancelled or took longer than statement_timeout; try again",
    "57P05": f"{_LOST}: it was idle for longer than idle_session_timeout; try again",
    "25P03": f"{_LOST}: idle for longer than idle_in_transaction_session_timeout; try again",
    "25P04": f"{_LOST}: the transaction took longer than transaction_timeout; try again",
    "40001": "others keep changing the same rows; try again",
    "40P01": "others keep changing the same rows; try again",
    "22P05": "the database has another encoding than UTF8; use one made with ENCODING 'UTF8'",
    "22021": "the database has another encoding than UTF8; use one made with ENCODING 'UTF8'",
    "XX001": "it is damaged; restore it from a backup",
    "XX002": "an index is damaged; run REINDEX there",
}
"""What a statement's SQLSTATE means."""

_DAMAGED = "tables of the gallery are missing or were changed; restore them from a backup"
_KINDS = {
    "08": f"{_LOST}; try again",
    "57": f"{_LOST}: the server is stopping, or starting again; try again",
    "58": "the server cannot read or write its files",
    "53": "the server has reached a limit",
    "42": _DAMAGED,
    "3F": _DAMAGED,
}
"""What the first two characters of an SQLSTATE mean."""


@contextmanager
def connecting(address: GalleryAddress) -> Iterator[None]:
    """Convert errors of an attempt to connect into one line with a remedy.

    Raises:
        UnavailableError: There is no connection.
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        reason = address.redacted(_reason(error))
        remedies = [remedy for words, remedy in _CONNECTING.items() if words in str(error)]
        remedy = remedies[0] if remedies else f"check the address ({PAGE})"
        raise UnavailableError(f"{address.name}: no connection: {reason}; {remedy}") from error


@contextmanager
def explained(
    name: str, wait: float = 0, *, reading: bool = False, commits: bool = False
) -> Iterator[None]:
    """Convert errors of statements into one line with a remedy.

    Args:
        name: The gallery's address, for messages.
        wait: Seconds that a writer waits for another one.
        reading: Nothing was to be changed.
        commits: Changes are committed: one may have been made though its connection was lost.

    Raises:
        UnavailableError: The database did not do what was asked.
        GalleryError: The database cannot store a value.
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise error_of(error, name, wait, reading=reading, commits=commits) from error


def error_of(
    error: "psycopg.Error",
    name: str,
    wait: float = 0,
    *,
    reading: bool = False,
    commits: bool = False,
) -> GalleryError:
    """Return the error of a statement as one line with a remedy; see `explained`."""
    import psycopg

    end = "" if reading else "; nothing was changed"
    if commits and is_lost(error):
        end = "; a change that was not confirmed may have been made: look before you repeat it"
    kind: type[GalleryError] = UnavailableError
    if error.sqlstate in _CONFLICTS:
        kind = ConflictError
    elif isinstance(error, psycopg.DataError):  # which no repetition makes good
        kind = GalleryError
    return kind(f"{name}: {_meaning(error, wait)}{end}")


def is_lost(error: "psycopg.Error") -> bool:
    """Return whether an error of a statement ended its connection."""
    from psycopg import InterfaceError, OperationalError

    state = error.sqlstate
    if state is None:
        return isinstance(error, InterfaceError | OperationalError)
    return state[:2] == "08" or state in ("57P01", "57P02", "57P05", "25P03", "25P04")


def require_utf8(encoding: str, address: GalleryAddress) -> None:
    """Refuse a database that cannot hold every id.

    Args:
        encoding: The database's `server_encoding`.
        address: The gallery's address.

    Raises:
        GalleryError: The encoding is another one.
    """
    if encoding != "UTF8":
        raise GalleryError(
            f"{address.name}: the database has the encoding {encoding}; use one made with "
            "ENCODING 'UTF8' TEMPLATE template0"
        )


def not_of_facever(address: GalleryAddress) -> GalleryError:
    """Return the error for a schema of the gallery's name with other tables than facever's."""
    return GalleryError(
        f"{address.name}: the schema {address.schema} is not a gallery of facever; give another "
        "gallery=NAME or another database"
    )


def no_gallery(address: GalleryAddress) -> GalleryError:
    """Return the error for a gallery that a database does not have."""
    return GalleryError(f"no gallery at {address.name}; create one with 'facever gallery create'")


def _reason(error: "psycopg.Error") -> str:
    """Return why there is no connection: the last of libpq's remarks, in one line."""
    said = str(error).split("\n\t")[0].splitlines()[0]
    return said.rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def _meaning(error: "psycopg.Error", wait: float) -> str:
    """Return what an error of a statement means."""
    state, said = error.sqlstate, error.diag.message_primary or ""
    if state is None:
        return f"{_LOST}; try again" if is_lost(error) else str(error).splitlines()[0]
    if state == "55P03":
        return f"another process is writing to it (waited {wait:g} s); try again"
    if '"vector"' in said and state in ("0A000", "42704", "58P01", "42501"):
        return NO_PGVECTOR
    if state == "22021" and said.endswith("0x00"):
        return "PostgreSQL cannot store the character NUL in a text"
    meaning = _ENDED.get(state) or _KINDS.get(state[:2])
    if meaning is None or state[:2] in ("42", "53", "58"):
        return f"{said}{'; ' if meaning else ''}{meaning or ''}"
    return meaning
