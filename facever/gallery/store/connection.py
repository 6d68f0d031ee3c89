"""A connection to the tables of a gallery: SQL that every engine knows, and what each writes in
its own way.

`?` stands for a value in every statement.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from facever.gallery.metadata import Conditions


class ResultRows(Protocol):
    """The rows of a statement."""

    @property
    def rowcount(self) -> int:
        """Number of rows that a change affected."""

    def fetchone(self) -> Any:
        """Return the next row; None at the end."""

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the remaining rows."""


class StoreConnection(Protocol):
    """A connection in a transaction.

    Attributes:
        rows_at_once: Number of rows to insert at once.
    """

    rows_at_once: int

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> ResultRows:
        """Run a statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run a statement for each row of values."""

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert new rows."""

    def allot(self, table: str, count: int = 1) -> int:
        """Return the first of `count` numbers for new rows of a table, which must use them all.

        Numbers are ascending, and never reused.
        """

    def last_number(self, table: str) -> int:
        """Return the number that `allot` returned last for a table; 0 if it never did."""

    def set_last_number(self, table: str, number: int) -> None:
        """Let `allot` go on after a number."""

    def among(self, sql: str, values: Sequence[int] | Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a statement with `IN ({})` for any number of values."""

    def each(self, sql: str, values: Sequence[int] | Sequence[str], *first: object) -> None:
        """Run a statement with `IN ({})` for any number of values, which come after `first`."""

    def has_photos(self) -> bool:
        """Return whether there is a table of photos."""

    def make_photos(self) -> None:
        """Create the table of photos if there is none."""

    def problems(self) -> Iterator[str]:
        """Yield the engine's own findings about the tables."""

    def is_sound_id(self, people: str) -> str:
        """Return an SQL condition: whether the id in a row of people is undamaged.

        Args:
            people: Name of the table in the statement.
        """

    def as_bytes(self, column: str) -> str:
        """Return SQL for the bytes of a text."""

    def as_blob(self, column: str) -> str:
        """Return SQL for the bytes of a column of bytes."""

    def has_only(self, characters: str, column: str) -> str:
        """Return an SQL condition: whether a text has only these characters.

        Args:
            characters: The inside of a bracket expression, such as "0-9".
            column: SQL for the text.
        """

    def narrowed(self, conditions: Conditions) -> tuple[str, list[str]]:
        """Return an SQL condition with its values that is true for all people who match a filter,
        and perhaps for others.
        """
