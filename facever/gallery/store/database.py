"""What a store needs of its database: transactions, each with a connection.

The folders beside this file implement it, one for each engine. Statements are written once, for all
of them; what engines express in different ways is a method of `Connection`.
"""

import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from facever.core.console import warn
from facever.gallery.records import Binding, Settings
from facever.gallery.store.connection import Connection
from facever.gallery.store.facts import StoreFacts, new_facts, write_facts

T = TypeVar("T")


class Damage:
    """Warns of damaged rows, once per row.

    Args:
        name: The store's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._named: set[tuple[str, int]] = set()
        self._said: set[str] = set()

    def unnamed(self, table: str, numbers: Sequence[int]) -> list[int]:
        """Return the numbers of rows that were not reported before."""
        new = [number for number in numbers if (table, number) not in self._named]
        self._named |= {(table, number) for number in new}
        return new

    def warn(self, what: str) -> None:
        """Print a warning that names the store."""
        warn(f"{self._name}: {what}")

    def warn_once(self, what: str) -> None:
        """Print a warning about damage, once."""
        if what not in self._said:
            self._said.add(what)
            self.warn(f"{what}; 'facever gallery check' checks every row")


@dataclass(eq=False)
class Transaction:
    """A transaction: it reads one state, and its writes are atomic.

    Attributes:
        db: The connection.
        name: The store's name, for messages.
        damage: Warns of damaged rows.
        read_facts: Reads the store's facts.
        removes: Set if something is removed, of which then no byte must remain in a log.
    """

    db: Connection
    name: str
    damage: Damage
    read_facts: Callable[[], StoreFacts]
    removes: bool = False
    _facts: StoreFacts | None = None

    def facts(self) -> StoreFacts:
        """Return the store's facts."""
        if self._facts is None:
            self._facts = self.read_facts()
        return self._facts

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Change the store's facts."""
        write_facts(self.db, facts)
        self._facts = None

    def first(self, sql: str, *values: object) -> Any:
        """Return the first row of a statement's result; None if there is none."""
        return self.db.execute(sql, values).fetchone()


class Database(Protocol):
    """An open database with the tables of one gallery. Threads may share one.

    Attributes:
        name: Where it is, for messages.
        folder: Folder for files that are derived from the store.
        read_only: Whether this user cannot write to it.
    """

    name: str
    folder: Path

    @property
    def read_only(self) -> bool:
        """Whether this user cannot write to it."""

    def close(self) -> None:
        """Close the connections; later calls raise UnavailableError."""

    def again(self) -> Self:
        """Open the same database once more, with connections of its own."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """Yield a transaction that reads one state; a nested one reads the same state."""

    def facts(self) -> StoreFacts:
        """Return the store's current facts."""

    def remembered(self, what: str, read: Callable[[Transaction], T]) -> T:
        """Return the result of `read`, called once for each state of the store."""

    def writing(self, much: bool = False) -> AbstractContextManager[Transaction]:
        """Yield the writing transaction.

        Until it ends, no one else can write, and `reading` sees the state before it.

        Args:
            much: The transaction may write more than fits on the disk.
        """

    def rewrite(self) -> None:
        """Rewrite the tables without removed data.

        Raises:
            GalleryError: Others keep reading or writing, or the disk has no room.
        """

    def require_writable(self) -> None:
        """Refuse a change if the store is read-only.

        Raises:
            GalleryError: This user cannot write.
        """


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(db: Connection) -> str:
    """Return the current time, or that of the newest change if the clock is earlier."""
    newest = db.execute("SELECT time FROM changes ORDER BY change DESC LIMIT 1").fetchone()
    return max(now(), newest[0]) if newest else now()


def record(db: Connection, action: str, *, people: int, images: int) -> int:
    """Add a row to the log of changes and return its number."""
    number = db.allot("changes")
    db.execute(
        "INSERT INTO changes (change, stamp, time, action, people, images)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [number, secrets.token_hex(8), later(db), action, people, images],
    )
    return number


def begin_gallery(db: Connection, binding: Binding, settings: Settings) -> None:
    """Write the facts and the first change of a new, empty gallery."""
    facts = {
        **asdict(binding),
        "gallery": uuid.uuid4().hex,
        "created": now(),
        **new_facts(),
        **asdict(settings),
    }
    write_facts(db, facts)
    record(db, "create", people=0, images=0)
