"""`facever gallery migrate`: to another model, while the old one serves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.gallery.shared import Folder, counted, print_json
from facever.cli.options import AsJson, Device
from facever.cli.photo_options import (
    Detector,
    Face,
    MinQuality,
    Photos,
    Rotations,
    asked_of_photos,
    photos_of,
)

if TYPE_CHECKING:
    from facever.gallery.migration import Migration, Missing
    from facever.models.extraction import Precision

_EXAMPLES = 20  # missing images that are listed without --json


def migrate(
    gallery: Folder,
    model: Annotated[
        Path | None,
        typer.Option(help="The new model: a run folder or a .safetensors file."),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            help="Images whose source is gone or changed: refuse to finish, or remove them."
        ),
    ] = "refuse",
    data: Annotated[
        Path | None,
        typer.Option(help="Where images are that are not at their source any more."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip", help="Average with the mirror image's. [default: as it is]"
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, or bf16: faster, other vectors. [default: as it is]"),
    ] = None,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Forget a migration that has begun.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Move to another model: embed all images again from their sources, then let it serve.

    Images that were enrolled as photos are cut by the landmarks that are known of them; of the
    others --photos or --crops says what they are (default: what the new model needs). Stopped or
    killed, the same command goes on where it was. Until all is there the old model
    serves. Operating points and calibrations are of the old model and go with it.

    Exit status: 0 moved, 2 images are missing (nothing changed) or an error.
    """
    from facever.errors import ConfigError, GalleryError
    from facever.gallery.gallery import Gallery
    from facever.recognizer import Recognizer

    if abandon == (model is not None):
        raise ConfigError("either move to a --model, or --abandon a migration that has begun")
    how = photos, face, min_quality, rotations, detector
    if abandon and asked_of_photos(how):
        raise ConfigError("--abandon forgets a migration: omit --photos and what belongs to it")
    if abandon and (missing, data, flip, precision, device) != ("refuse", None, None, None, "auto"):
        raise ConfigError("--abandon forgets a migration: leave what is for one away")
    with Gallery.open(gallery) as opened:
        if model is None:
            opened.abandon_migration()
            if as_json:
                print_json({"abandoned": True, "fingerprint": opened.fingerprint})
            else:
                print(f"abandoned: the gallery stays with {opened.fingerprint}")
            return
        chosen = cast("Precision | None", precision)
        new = Recognizer.load(model, opened, flip=flip, precision=chosen, device=device)
        new.photos = photos_of(new.model, *how)
        done = new.migrate(missing=cast("Missing", missing), root=data)
    if as_json:
        print_json(done.to_dict())
    else:
        _print(done)
    if not done.finished:
        raise GalleryError(
            f"{counted(len(done.missing), 'image')} cannot be embedded again, and the old model "
            "goes on serving: bring them back (--data ROOT), or run it with --missing remove"
        )


def _print(done: "Migration") -> None:
    from facever.core.console import say
    from facever.gallery.records import shown

    for image in done.missing[:_EXAMPLES]:
        source = "no source" if image.source is None else shown(image.source)
        say(f"missing: image {image.image} of {shown(image.person)}, {source}: {image.reason}")
    if len(done.missing) > _EXAMPLES:
        say(f"missing: {len(done.missing) - _EXAMPLES} more (--json lists all)")
    before = f", {done.resumed} before" if done.resumed else ""
    print(f"embedded: {counted(done.images, 'image')}{before}")
    if not done.finished:
        return
    print(f"removed:  {counted(len(done.missing), 'image')} that could not be embedded")
    print(f"moved:    from {done.before} to {done.fingerprint}")
    if done.lost:
        names = ", ".join(shown(name) for name in done.lost)
        say(f"gone with the old model: {names}; measure operating points for the new one")
