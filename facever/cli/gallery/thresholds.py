"""`facever gallery threshold`: the operating points that a gallery decides by."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from facever.cli.gallery.shared import AsJson, Folder, print_json


def threshold(
    gallery: Folder,
    file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation
        typer.Argument(help="An operating point to keep in the gallery."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Under which name (default: the file's)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the gallery's operating points, or add one."""
    from facever.cli.verify import point_line
    from facever.errors import ConfigError
    from facever.evaluation.operating_point import OperatingPoint
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    if name is not None and file is None:
        raise ConfigError("--name is of an operating point to add: give its file")
    with Gallery.open(gallery) as opened:
        if file is not None:
            opened.add_operating_point(name or file.stem, OperatingPoint.load(file))
        points = opened.operating_points()
    if as_json:
        print_json({key: point.model_dump(mode="json") for key, point in points.items()})
        return
    for key, point in points.items():
        print(f"{shown(key)}: {point.kind}, {point_line(point)}")
    if not points:
        print("no operating points: searching and verifying give scores only")
