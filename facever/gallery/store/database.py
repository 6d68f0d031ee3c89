"""What a store needs of its database: transactions, each with a connection.

The folders beside this file implement it, one for each engine. Statements are written once, for all
of them; what engines express in different ways is a method of `StoreConnection`.
"""

import secrets
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from facever.core.console import warn
from facever.errors import GalleryError, UnavailableError
from facever.gallery.pgvector import ONLY_POSTGRES, PgvectorKind
from facever.gallery.records import Binding, Change, Entries, Settings
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.entry_search import EntrySearch
from facever.gallery.store.facts import StoreFacts, facts_in, new_facts, write_facts

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

    db: StoreConnection
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


class Database(ABC):
    """An open database with the tables of one gallery. Threads may share one.

    There is one connection for reading and one for writing, each used by one thread at a time.

    Args:
        name: Where it is, for messages.
        folder: Folder for files that are derived from the store.
        wait: Seconds to wait for another writer.
    """

    def __init__(self, name: str, folder: Path, wait: float) -> None:
        self.name, self.folder, self._wait = name, folder, wait
        self._read_lock, self._write_lock = threading.RLock(), threading.RLock()
        self._damage = Damage(name)
        self._memory: dict[str, Any] = {}  # values read from one state of the store
        self._version: object = None  # version of that state
        self._closed = False

    # -- what each engine does --------------------------------------------------------------

    @property
    @abstractmethod
    def read_only(self) -> bool:
        """Whether this user cannot write to it."""

    @property
    def index_writable(self) -> bool:
        """Whether files can be written to the folder for derived files."""
        return not self.read_only

    @property
    def folder_is_temporary(self) -> bool:
        """Whether the folder for derived files is a new one, deleted when this is closed."""
        return False

    @abstractmethod
    def again(self) -> Self:
        """Open the same database once more, with connections of its own."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Transaction]:
        """Yield a transaction that reads one state; a nested one reads the same state."""

    @abstractmethod
    def writing(self, much: bool = False) -> AbstractContextManager[Transaction]:
        """Yield the writing transaction.

        Until it ends, no one else can write, and `reading` sees the state before it.

        Args:
            much: The transaction may write more than fits on the disk.
        """

    @abstractmethod
    def rewrite(self) -> None:
        """Rewrite the tables without removed data.

        Raises:
            GalleryError: Others keep reading or writing, or the disk has no room.
        """

    can_search = False
    """Whether the database itself can search (`entry_search`)."""

    def entry_search(self, read: Transaction) -> EntrySearch:  # noqa: ARG002 - for engines with it
        """Return the search of the entries by the database itself.

        Raises:
            GalleryError: The database does not search, or has not what it needs for it.
        """
        raise GalleryError(f"{self.name}: {ONLY_POSTGRES}")

    def trial_search(
        self,
        kind: PgvectorKind,  # noqa: ARG002
        entries: Entries,  # noqa: ARG002
    ) -> AbstractContextManager[EntrySearch]:
        """Yield a search of some entries, which are not stored.

        Raises:
            GalleryError: The database does not search, or has not what it needs for it.
        """
        raise GalleryError(f"{self.name}: {ONLY_POSTGRES}")

    def forget_search(self, change: Transaction) -> None:  # noqa: B027 - nothing to forget
        """Let the end of a change make anew what searches in the database need."""

    def search_problems(self, read: Transaction) -> Iterator[str]:  # noqa: ARG002
        """Yield how what the database searches differs from the entries."""
        yield from ()

    @abstractmethod
    def size(self) -> int:
        """Return the bytes of its files or tables, and of files derived from it."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connections."""

    @abstractmethod
    def _is_reading(self) -> bool:
        """Return whether the reading connection is in a transaction."""

    def ids_at(
        self,
        change: Change,  # noqa: ARG002
        keys: Sequence[int],  # noqa: ARG002
    ) -> dict[int, str] | None:
        """Return the ids of people by one message, if the newest change is this one; else None."""
        return None

    @property
    def connection(self) -> int:
        """Number of the reading connection: another one may see a database that went back."""
        return 0

    # -- what all have in common ------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; later calls raise UnavailableError."""
        with self._write_lock, self._read_lock:  # in the same order as writers
            self._closed = True
            self._disconnect()

    def facts(self) -> StoreFacts:
        """Return the store's current facts."""
        return self.remembered("facts", lambda read: facts_in(read.db, self.name))

    def remembered(self, what: str, read: Callable[[Transaction], T]) -> T:
        """Return the result of `read`, called once for each state of the store."""
        with self._read_lock:
            self._require_open()
            if self._is_reading() and what in self._memory:  # within `reading`
                return self._memory[what]  # type: ignore[no-any-return]
            with self.reading() as transaction:
                if what not in self._memory:
                    self._memory[what] = read(transaction)
                return self._memory[what]  # type: ignore[no-any-return]

    def require_writable(self) -> None:
        """Refuse a change if the store is read-only.

        Raises:
            UnavailableError: This user cannot write.
        """
        if self.read_only:
            raise UnavailableError(
                f"{self.name} cannot be written by this user; it is open read-only"
            )

    def _bytes_in_folder(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())

    def _follow(self, version: object) -> None:
        """Forget what was read from another version of the store."""
        if version != self._version:
            self._memory.clear()
            self._version = version

    def _changing(self, db: StoreConnection) -> Transaction:
        """Return the writing transaction of a connection."""
        return Transaction(db, self.name, self._damage, lambda: facts_in(db, self.name))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock of this process's writers.

        Raises:
            UnavailableError: Another thread holds it for longer than writers wait.
        """
        if not self._write_lock.acquire(timeout=self._wait):
            raise UnavailableError(
                f"{self.name}: another thread is writing to it (waited {self._wait:g} s); try again"
            )
        try:
            self._require_open()
            yield
        finally:
            self._write_lock.release()

    def _require_open(self) -> None:
        if self._closed:
            raise UnavailableError(f"{self.name} is closed; open the gallery again")


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(db: StoreConnection) -> str:
    """Return the current time, or that of the newest change if the clock is earlier."""
    newest = db.execute("SELECT time FROM changes ORDER BY change DESC LIMIT 1").fetchone()
    return max(now(), newest[0]) if newest else now()


def record(db: StoreConnection, action: str, *, people: int, images: int) -> int:
    """Add a row to the log of changes and return its number."""
    number = db.allot("changes")
    db.execute(
        "INSERT INTO changes (change, stamp, time, action, people, images)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [number, secrets.token_hex(8), later(db), action, people, images],
    )
    return number


def begin_gallery(db: StoreConnection, binding: Binding, settings: Settings) -> None:
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
