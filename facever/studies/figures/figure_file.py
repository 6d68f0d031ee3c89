"""Figures in a file: an HTML page or an image, depending on the suffix."""

from collections.abc import Sequence
from pathlib import Path

from facever.errors import ConfigError
from facever.render.blocks import Figure, Section
from facever.render.page import Report, write_report
from facever.render.svg import save_figures

SUFFIXES = (".html", ".png", ".svg", ".pdf")


def check_suffix(path: Path) -> None:
    """Raise for an unknown file suffix, before any computation.

    Raises:
        ConfigError: The suffix is unknown; the message lists the suffixes.
    """
    if path.suffix not in SUFFIXES or path.is_dir():
        raise ConfigError(f"{path}: the file name must end in {', '.join(SUFFIXES)}")


def write_figures(
    path: Path, sections: Sequence[Section], *, title: str, verdict: str, meaning: str
) -> None:
    """Write a description to a file.

    Args:
        path: .html for a complete page, else an image of the figures only.
        sections: The description.
        title, verdict, meaning: As for a `Report`.
    """
    check_suffix(path)
    if path.suffix == ".html":
        write_report(Report(title, verdict, meaning, (), sections), path)
        return
    blocks = [block for section in sections for block in section.blocks]
    save_figures(path, [block for block in blocks if isinstance(block, Figure)])
