"""`facever gallery threshold` and `calibration`: operating points and calibrations of a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.gallery.shared import after_change, print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.evaluation.score_calibration import ScoreCalibration

Name = Annotated[
    str | None,
    typer.Option(help="Name to store it under (default: the file's name)."),
]
Remove = Annotated[
    str | None,
    typer.Option(help="Remove the one with this name."),
]


def threshold(
    gallery: Place,
    file: Annotated[
        Path | None,
        typer.Argument(help="An operating point file to add to the gallery."),
    ] = None,
    name: Name = None,
    remove: Remove = None,
    as_json: AsJson = False,
) -> None:
    """List the gallery's operating points, after adding or removing one if given."""
    from facever.core.console import warn
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.operating_point import OperatingPoint

    _check(file, name, remove)
    with Gallery.open(gallery) as opened:
        opened.info()  # an unreadable gallery is refused before the change
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
        print("no operating points: search and verify return scores without decisions")


def calibration(
    gallery: Place,
    file: Annotated[
        Path | None,
        typer.Argument(help="A calibration file to add to the gallery."),
    ] = None,
    name: Name = None,
    remove: Remove = None,
    as_json: AsJson = False,
) -> None:
    """List the gallery's calibrations, after adding or removing one if given."""
    from facever.core.console import warn
    from facever.evaluation.score_calibration import ScoreCalibration
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    _check(file, name, remove)
    with Gallery.open(gallery) as opened:
        opened.info()  # an unreadable gallery is refused before the change
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
        print("no calibrations: search and verify return no probabilities")


def _check(file: Path | None, name: str | None, remove: str | None) -> None:
    from facever.errors import ConfigError

    if name is not None and file is None:
        raise ConfigError("--name applies to a file to add: give the file")
    if remove is not None and file is not None:
        raise ConfigError("give either a file to add or --remove NAME, not both")


def _line(calibration: "ScoreCalibration") -> str:
    trials = calibration.trials
    return (
        f"{calibration.method}, for a prior of {calibration.prior:g}, fitted on "
        f"{calibration.dataset or 'unnamed data'} ({trials.genuine:,} genuine, "
        f"{trials.impostor:,} impostor trials)"
    )
