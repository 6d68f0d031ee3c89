"""Base class of results: one description, from which text, HTML and data frame are made."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from facever.render.blocks import Block, Facts, Note, Range, Section, Table
from facever.render.values import Record

if TYPE_CHECKING:
    import pandas as pd


class Result(Record, ABC):
    """A result with one description, `describe`, from which all output is made.

    A subclass is a frozen dataclass; a field `warnings` holds warnings for the reader.
    """

    def __init_subclass__(cls) -> None:
        """Keep `__repr__` of this class: `dataclass` would replace it."""
        super().__init_subclass__()
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    @abstractmethod
    def describe(self) -> Sequence[Section]:
        """Return the description: sections of facts, tables, figures and notes."""

    def to_text(self, width: int | None = None) -> str:
        """Return the result as plain text, without its warnings.

        Args:
            width: Maximum width of the lines in characters; None for no limit.
        """
        from facever.render.text import sections_text

        return sections_text(self.describe(), width)

    def to_frame(self) -> "pd.DataFrame":
        """Return the main table; an interval has two columns, "low" and "high".

        Raises:
            ValueError: The result has no table.
        """
        import pandas as pd

        table = next((b for b in _blocks(self.describe()) if isinstance(b, Table)), None)
        if table is None:
            raise ValueError(f"a {type(self).__name__} has no table")
        rows = [_values(table.headers, row) for row in table.rows]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        from facever.render.text import sections_text, terminal_width

        return sections_text([Section("", "", list(self._brief()))], terminal_width())

    def _repr_html_(self) -> str:
        from facever.render.html import fragment

        return fragment(list(self._brief()))

    def _brief(self) -> Iterator[Block]:
        """Yield the facts before the main table, the table, and the warnings."""
        sections = self.describe()
        if sections[0].lead:
            yield Note(sections[0].lead)
        for block in _blocks(sections):
            if isinstance(block, Facts | Table):
                yield block
            if isinstance(block, Table):
                break
        for warning in getattr(self, "warnings", ()):
            yield Note(warning, warning=True)


def _blocks(sections: Sequence[Section]) -> Iterator[Block]:
    return chain.from_iterable(section.blocks for section in sections)


def _values(headers: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """Return a row by column; an interval is named after the column before it."""
    values: dict[str, Any] = {}
    before = ""
    for header, cell in zip(headers, row, strict=True):
        if isinstance(cell, Range):
            values[f"{before} low"], values[f"{before} high"] = cell.low.value, cell.high.value
            continue
        before = header
        values[header] = cell if isinstance(cell, str) else cell.value
    return values
