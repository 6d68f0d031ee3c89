"""A complete page: a verdict, summary figures, and sections of blocks."""

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
    """One figure of the summary, with its label and a note."""

    label: str
    value: Cell
    note: str = ""


@dataclass(frozen=True)
class Report:
    """A complete report.

    Args:
        title: Title of the page.
        verdict: The result in one line.
        meaning: Explanation of the verdict for readers outside the field.
        tiles: Summary figures.
        sections: The sections in order.
        data: The results as JSON values; not part of the page.
    """

    title: str
    verdict: str
    meaning: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pictures(self) -> bool:
        """Whether the page contains images, which its footer states."""
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
    """Write the page atomically, as one self-contained file.

    Raises:
        ConfigError: `path` is a folder.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name the file to write, such as {path}/report.html")
    write_text(path, render(report))
