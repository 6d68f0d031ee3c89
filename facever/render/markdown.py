"""The Markdown renderer: facts and tables as Markdown tables, notes as paragraphs, no figures."""

import re
from collections.abc import Iterable, Iterator, Sequence

from facever.errors import plain
from facever.render.blocks import Block, Facts, List, Note, Section, Table, text_of

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def sections_markdown(sections: Sequence[Section], level: int = 2) -> str:
    """Return a description as Markdown.

    Args:
        sections: Each becomes a heading with its blocks.
        level: Level of these headings, 1 to 6.
    """
    parts: list[str] = []
    for section in sections:
        parts.append(f"{'#' * level} {escaped(section.title)}")
        if section.lead:
            parts.append(escaped(section.lead))
        parts += blocks_markdown(section.blocks)
    return "\n\n".join(parts)


def blocks_markdown(blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the paragraphs and tables of blocks; figures and pictures are left out."""
    for block in blocks:
        if isinstance(block, Note):
            yield f"{'**Warning:** ' if block.warning else ''}{escaped(block.text)}"
        elif isinstance(block, Facts) and block.rows:
            if block.title:
                yield f"**{escaped(block.title)}**"
            yield _table(["", ""], [[name, text_of(cell)] for name, cell in block.rows])
        elif isinstance(block, Table):
            if block.caption:
                yield f"**{escaped(block.caption)}**"
            yield _table(block.headers, [[text_of(cell) for cell in row] for row in block.rows])
        elif isinstance(block, List):
            yield f"**{escaped(block.title)}**"
            yield "\n".join(f"- {escaped(line)}" for line in block.lines)


def escaped(text: str) -> str:
    """Return a text on one line in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", plain(" ".join(text.split())))


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[escaped(header) for header in headers], ["---"] * len(headers)]
    lines += [[escaped(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
