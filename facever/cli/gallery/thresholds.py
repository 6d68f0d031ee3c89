"""`facever gallery threshold` and `calibration`: what a gallery decides and tells odds by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.gallery.shared import Folder, after_change, print_json
from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.evaluation.score_calibration import ScoreCalibration

Name = Annotated[
    str | None,
    typer.Option(help="Under which name (default: the file's)."),
]
Remove = Annotated[
    str | None,
    typer.Option(help="Forget the one of this name."),
]


def threshold(
    gallery: Folder,
    file: Annotated[
        Path | None,
        typer.Argument(help="An operating point to keep in the gallery."),
    ] = None,
    name: Name = None,
    remove: Remove = None,
    as_json: AsJson = False,
) -> None:
    """List the gallery's operating points; before that add one, or remove one."""
    from facever.core.console import warn
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.operating_point import OperatingPoint

    _check(file, name, remove)
    with Gallery.open(gallery) as opened:
        opened.info()  # what cannot be read is refused before a change
        if file is not None:
            opened.add_operating_point(name or file.stem, OperatingPoint.load(file))
        if remove is not None:
            opened.remove_operating_point(remove)
        points, unusable = {}, []
        with after_change():
            points, unusable = opened.operating_points(), opened.info().unusable
    if as_json:
        print_json({key: point.model_dump(mode="json") for key, point in points.items()})
        return
    for reason in unusable:
        warn(f"{reason}; remove it")
    for key, point in points.items():
        print(f"{shown(key)}: {point.kind}, {point.summary}")
    if not points:
        print("no operating points: searching and verifying give scores only")


def calibration(
    gallery: Folder,
    file: Annotated[
        Path | None,
        typer.Argument(help="A calibration to keep in the gallery."),
    ] = None,
    name: Name = None,
    remove: Remove = None,
    as_json: AsJson = False,
) -> None:
    """List the gallery's calibrations; before that add one, or remove one."""
    from facever.core.console import warn
    from facever.evaluation.score_calibration import ScoreCalibration
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    _check(file, name, remove)
    with Gallery.open(gallery) as opened:
        opened.info()  # what cannot be read is refused before a change
        if file is not None:
            opened.add_calibration(name or file.stem, ScoreCalibration.load(file))
        if remove is not None:
            opened.remove_calibration(remove)
        kept, unusable = {}, []
        with after_change():
            kept, unusable = opened.calibrations(), opened.info().unusable
    if as_json:
        print_json({key: one.model_dump(mode="json") for key, one in kept.items()})
        return
    for reason in unusable:
        warn(f"{reason}; remove it")
    for key, one in kept.items():
        print(f"{shown(key)}: {one.kind}, {_line(one)}")
    if not kept:
        print("no calibrations: searching and verifying give no probabilities")


def _check(file: Path | None, name: str | None, remove: str | None) -> None:
    from facever.errors import ConfigError

    if name is not None and file is None:
        raise ConfigError("--name is of something to add: give its file")
    if remove is not None and file is not None:
        raise ConfigError("either add a file or --remove a name, one at a time")


def _line(calibration: "ScoreCalibration") -> str:
    trials = calibration.trials
    return (
        f"{calibration.method}, for a prior of {calibration.prior:g}, fitted on "
        f"{calibration.dataset or 'unnamed data'} ({trials.genuine:,} genuine, "
        f"{trials.impostor:,} impostor trials)"
    )
