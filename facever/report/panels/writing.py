"""Panels as a file: an HTML page, or a picture, as the file's suffix says."""

from collections.abc import Sequence
from pathlib import Path

from facever.errors import ConfigError
from facever.report.drawing import Panel, save_panels
from facever.report.page import Block, Figure, Report, Section, write_report

SUFFIXES = (".html", ".png", ".svg", ".pdf")


def check_suffix(path: Path) -> None:
    """Refuse a file that no writer is for, before anything is computed.

    Raises:
        ConfigError: Names the suffixes.
    """
    if path.suffix not in SUFFIXES or path.is_dir():
        raise ConfigError(f"{path}: name a file that ends in {', '.join(SUFFIXES)}")


def write_panels(
    path: Path,
    panels: Sequence[Panel],
    *,
    title: str,
    verdict: str,
    meaning: str,
    blocks: Sequence[Block] = (),
) -> None:
    """Write panels to a file.

    Args:
        path: .html for a page with all the text, else a picture of the panels alone.
        panels: What is drawn, in order.
        title, verdict, meaning: As of a `Report`.
        blocks: What stands under the panels of a page, such as a table.
    """
    check_suffix(path)
    if path.suffix != ".html":
        save_panels(path, panels)
        return
    figures: list[Block] = [Figure(panel.title, panel.svg(), panel.caption) for panel in panels]
    section = Section("figures", "Figures", [*figures, *blocks])
    write_report(Report(title, verdict, meaning, (), [section]), path)
