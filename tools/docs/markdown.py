"""Tables and texts of the pages of the reference."""

import html
import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """Return plain text as Markdown of one line, for a table's cell too.

    What stands in backquotes stays code, and the name of a document becomes a link.
    """
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(code(part[1:-1]) if part[:1] == "`" else _plain(part) for part in parts)


def _plain(text: str) -> str:
    text = re.sub(r"([\\|*_\[\]`])", r"\\\1", html.escape(text, quote=False))
    return re.sub(r"docs/([\w-]+)\.md", r"[\1](../\1.md)", text)


def code(text: str) -> str:
    """Return text in a fixed-width font, for a table's cell too."""
    return f"`{' '.join(text.split())}`" if text else ""  # a bar in code does not end a cell


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, of cells that are Markdown; nothing if there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines, ""]
