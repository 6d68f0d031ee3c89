"""The text renderer: facts, tables and notes as aligned plain lines, without figures."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from facever.core.console import printable
from facever.errors import plain
from facever.render.blocks import Block, Comparisons, Facts, List, Note, Section, Table, text_of

_GAP = "  "


def terminal_width() -> int | None:
    """Return the width of the terminal in characters; None if stdout is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def sections_text(sections: Sequence[Section], width: int | None = None) -> str:
    """Return a description as plain text.

    Args:
        sections: Their titles are written if there is more than one.
        width: Maximum width of the lines in characters; None for no limit. Wider tables are split.
    """
    parts = []
    for section in sections:
        if section.title and len(sections) > 1:
            parts.append(plain(section.title).upper())
        if section.lead:
            parts.append(_filled(section.lead, width))
        parts += blocks_text(section.blocks, width)
    return "\n\n".join(parts)


def blocks_text(blocks: Iterable[Block], width: int | None = None) -> Iterator[str]:
    """Yield the paragraphs of blocks; a note joins the note or table before it."""
    held: list[str] = []
    for block in blocks:
        lines = _block_text(block, width)
        if not lines:
            continue
        if held and not isinstance(block, Note):
            yield "\n".join(held)
            held = []
        held.append(lines)
    if held:
        yield "\n".join(held)


def _block_text(block: Block, width: int | None) -> str:
    if isinstance(block, Note):
        return _filled(f"{'warning: ' if block.warning else ''}{block.text}", width)
    if isinstance(block, Facts):
        reach = max((len(plain(name)) for name, _ in block.rows), default=0) + len(_GAP)
        named = [
            _filled(f"{plain(name):{reach}}{plain(text_of(cell))}", width, " " * reach)
            for name, cell in block.rows
        ]
        return "\n".join([plain(block.title), *named] if block.title else named)
    if isinstance(block, Table):
        rows = [[text_of(cell) for cell in row] for row in block.rows]
        shown = table(block.headers, rows, width)
        return f"{_filled(plain(block.caption), width)}\n{shown}" if block.caption else shown
    if isinstance(block, List):
        return "\n".join([plain(block.title), *(f"  {plain(line)}" for line in block.lines)])
    if isinstance(block, Comparisons):
        lines = [_filled(plain(f"{block.title}: {block.caption}"), width)]
        for item in block.items:
            names = " and ".join(plain(picture.name) for picture in (item.probe, *item.others))
            score = f": {item.score.text}" if item.score is not None else ""
            lines.append(f"  {names}{score}")
        return "\n".join(lines)
    return ""


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], width: int | None = None
) -> str:
    """Return rows as an aligned plain-text table; numbers are right-aligned.

    Args:
        headers: Headers of the columns; long headers are wrapped if the width is limited.
        rows: The cells, converted by `str`.
        width: Maximum width in characters; a wider table is split, each part with the first
            column.
    """
    cells = [[plain(str(cell)) for cell in row] for row in rows]
    heads = [[plain(header)] for header in headers]
    columns = [_Column(head, [row[k] for row in cells]) for k, head in enumerate(heads)]
    if width is not None and _total(columns) > width:
        columns = [column.narrowed() for column in columns]
    return "\n\n".join("\n".join(_lines(part)) for part in _parts(columns, width))


class _Column:
    """A column of a table, with the lines of its header."""

    def __init__(self, head: Sequence[str], cells: Sequence[str]) -> None:
        self.head, self.cells = head, cells
        self.width = max(map(len, [*head, *cells]))
        self._numbers = any(map(_is_number, cells)) and all(not c or _is_number(c) for c in cells)

    def narrowed(self) -> "_Column":
        """Return the column with its header wrapped to the widest cell or word."""
        widest = max(map(len, [*self.head[0].split(), *self.cells]), default=1)
        return _Column(textwrap.wrap(self.head[0], widest) or [""], self.cells)

    def set(self, text: str) -> str:
        """Return a text padded to the column's width, right-aligned for numbers."""
        return text.rjust(self.width) if self._numbers else text.ljust(self.width)


def _total(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def _parts(columns: Sequence[_Column], width: int | None) -> list[list[_Column]]:
    """Return the columns of each part of a table; the first column is in every part."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if width is not None and len(parts[-1]) > 1 and _total([*parts[-1], column]) > width:
            parts.append([first])
        parts[-1].append(column)
    return parts


def _lines(columns: Sequence[_Column]) -> Iterator[str]:
    height = max(len(column.head) for column in columns)
    heads = [[""] * (height - len(column.head)) + [*column.head] for column in columns]
    rows = [*zip(*heads, strict=True), ["-" * column.width for column in columns]]
    rows += zip(*(column.cells for column in columns), strict=True)
    for row in rows:
        yield _GAP.join(c.set(text) for c, text in zip(columns, row, strict=True)).rstrip()


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or (cell[:1] in {"+", "-"} and len(cell) > 1)


def _filled(text: str, width: int | None, indent: str = "") -> str:
    """Return a paragraph wrapped to a width, with all lines after the first indented."""
    line = printable(text)
    if width is None or len(line) <= width:
        return line
    reach = max(width, len(indent) + 20)
    return textwrap.fill(line, reach, subsequent_indent=indent, break_on_hyphens=False)
