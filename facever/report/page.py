"""The report as data, and the page made of it.

A report is a verdict and sections; a section is a row of blocks. Whoever has something to show
builds blocks out of its numbers; the template knows only how blocks look.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from facever._version import __version__
from facever.errors import ConfigError
from facever.files import write_text
from facever.report.drawing import printable

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True)
class Number:
    """A number: as a person reads it, and in full for machines (`<data value>`)."""

    text: str
    value: float


Cell = str | Number


@dataclass(frozen=True)
class Tile:
    """One figure of the summary, with a line that says what it is."""

    label: str
    value: Cell
    note: str = ""


@dataclass(frozen=True)
class Note:
    """A paragraph, or a warning that must not be missed."""

    kind: ClassVar = "note"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar = "facts"
    rows: Sequence[tuple[str, Cell]]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Table:
    """A table; columns that hold numbers are set to the right."""

    kind: ClassVar = "table"
    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing of `facever.report.figures` (its SVG is trusted) and how to read it."""

    kind: ClassVar = "figure"
    title: str
    svg: str
    caption: str

    @property
    def markup(self) -> Markup:
        """The SVG, not escaped again."""
        return Markup(self.svg)


@dataclass(frozen=True)
class Picture:
    """A small image with its name, or the reason why it cannot be shown.

    Args:
        name: Whom it shows.
        detail: Which image it is.
        uri: A data: URI.
        reason: Why there is no `uri`; without both, only the name is shown.
        score: Against the picture it stands beside.
        tone: How its frame is coloured.
    """

    name: str
    detail: str = ""
    uri: str | None = None
    reason: str = ""
    score: Number | None = None
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Comparison:
    """Pictures side by side: the first against each other one."""

    probe: Picture
    others: Sequence[Picture]
    verdict: str
    tone: Tone = "neutral"
    score: Number | None = None


@dataclass(frozen=True)
class Comparisons:
    """Several comparisons under one heading."""

    kind: ClassVar = "comparisons"
    title: str
    caption: str
    items: Sequence[Comparison]


@dataclass(frozen=True)
class Sheet:
    """One large picture."""

    kind: ClassVar = "sheet"
    title: str
    picture: Picture
    caption: str


Block = Note | Facts | Table | Figure | Comparisons | Sheet


@dataclass(frozen=True)
class Section:
    """A part of the report. Neighbouring figures stand side by side where there is room."""

    anchor: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""


@dataclass(frozen=True)
class Report:
    """A whole report.

    Args:
        title: What it is about.
        verdict: The result in one line.
        meaning: The same in everyday words.
        tiles: A handful of figures for the first glance.
        sections: The rest, in order.
        data: What was measured, as JSON values; the page does not hold it.
    """

    title: str
    verdict: str
    meaning: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pictures(self) -> bool:
        """Whether it shows faces or other images, which its footer says."""
        return any(
            picture.uri is not None
            for section in self.sections
            for block in section.blocks
            for picture in _pictures(block)
        )


def _pictures(block: Block) -> list[Picture]:
    if isinstance(block, Sheet):
        return [block.picture]
    if isinstance(block, Comparisons):
        return [picture for item in block.items for picture in (item.probe, *item.others)]
    return []


def render(report: Report) -> str:
    """Return the page as HTML text; equal reports give equal pages."""
    return _ENVIRONMENT.get_template("report.html").render(report=report, version=__version__)


def write_report(report: Report, path: Path) -> None:
    """Write the page atomically: one file that needs nothing else.

    Raises:
        ConfigError: A folder stands at `path`.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name the file to write, such as {path}/report.html")
    write_text(path, render(report))


def _finalize(value: object) -> object:
    """Escape comes after; characters that no page can hold are shown as such."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """Return escaped text that may be broken after the signs that join the parts of a name."""
    return Markup("<wbr>").join(re.split(r"(?<=[_./-])", printable(text)))


def _unbroken(text: str) -> Markup:
    """Return escaped text in which powers of ten, such as 1e-2, stay on one line."""
    parts = re.split(r"(\d[\d.]*e-\d+)", printable(text))
    kept = Markup('<span class="number">{}</span>')
    return Markup("").join(kept.format(p) if k % 2 else escape(p) for k, p in enumerate(parts))


_ENVIRONMENT = Environment(
    loader=PackageLoader("facever.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters["breakable"] = _breakable
_ENVIRONMENT.filters["unbroken"] = _unbroken
