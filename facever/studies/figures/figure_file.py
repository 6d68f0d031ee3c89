"""Figures as a file: an HTML page, or a picture, as the file's suffix says."""

from collections.abc import Sequence
from pathlib import Path

from facever.errors import ConfigError
from facever.render.blocks import Figure, Section
from facever.render.page import Report, write_report
from facever.render.svg import save_figures

SUFFIXES = (".html", ".png", ".svg", ".pdf")


def check_suffix(path: Path) -> None:
    """Refuse a file that no writer is for, before anything is computed.

    Raises:
        ConfigError: Names the suffixes.
    """
    if path.suffix not in SUFFIXES or path.is_dir():
        raise ConfigError(f"{path}: name a file that ends in {', '.join(SUFFIXES)}")


def write_figures(
    path: Path, sections: Sequence[Section], *, title: str, verdict: str, meaning: str
) -> None:
    """Write a description to a file.

    Args:
        path: .html for a page of everything, else a picture of the figures alone.
        sections: What is described.
        title, verdict, meaning: As of a `Report`.
    """
    check_suffix(path)
    if path.suffix == ".html":
        write_report(Report(title, verdict, meaning, (), sections), path)
        return
    blocks = [block for section in sections for block in section.blocks]
    save_figures(path, [block for block in blocks if isinstance(block, Figure)])
