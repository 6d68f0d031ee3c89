"""A whole page: a verdict, the figures of the first glance, and sections of blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facever._version import __version__
from facever.core.files import write_text
from facever.errors import ConfigError
from facever.render.blocks import Cell, Section, pictures_of
from facever.render.html import ENVIRONMENT


@dataclass(frozen=True)
class Tile:
    """One figure of the summary, with a line that says what it is."""

    label: str
    value: Cell
    note: str = ""


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
            for picture in pictures_of(block)
        )


def render(report: Report) -> str:
    """Return the page as HTML text; equal reports give equal pages."""
    return ENVIRONMENT.get_template("report.html").render(report=report, version=__version__)


def write_report(report: Report, path: Path) -> None:
    """Write the page atomically: one file that needs nothing else.

    Raises:
        ConfigError: A folder stands at `path`.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name the file to write, such as {path}/report.html")
    write_text(path, render(report))
