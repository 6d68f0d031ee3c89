"""`facever gallery migrate`: migrate to another model while the old one stays in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.gallery.shared import counted, print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson, Device, Engine
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
    from facever.models.loading import Engine as EngineName

_EXAMPLES = 20  # missing images listed without --json


def migrate(
    gallery: Place,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The new model: a run folder, a .safetensors or .onnx file, or a public "
            "model's name."
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(
            help="Images whose source file is missing or changed: refuse (do not finish) or remove."
        ),
    ] = "refuse",
    data: Annotated[
        Path | None,
        typer.Option(help="Place of images that are no longer at their enrolled path."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Average each embedding with that of the mirrored image. [default: as in the "
            "gallery]",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32 or bf16. bf16 is faster; its vectors differ slightly. [default: bf16 if the "
            "gallery has it, else that of the model]",
            show_default=False,
        ),
    ] = None,
    engine: Engine = "auto",
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Discard an unfinished migration.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Migrate to another model: embed all images again from their sources, then use that model.

    Images enrolled as photos are cropped by their stored landmarks. --photos or --crops states the
    kind of the other images (default: what the new model needs). Where a source is missing, the
    kept crop is embedded, if there is one of the size and alignment that the new model takes. After
    an interruption, the same command continues. The old model stays in use until all images are
    embedded. Operating points and calibrations belong to the old model and are removed with it.

    Exit status: 0 migrated, 2 images are missing (nothing changed) or an error.
    """
    from facever.errors import ConfigError, GalleryError
    from facever.gallery.gallery import Gallery
    from facever.recognizer import Recognizer

    if abandon == (model is not None):
        raise ConfigError(
            "give either --model MODEL to migrate, or --abandon to discard an unfinished migration"
        )
    how = photos, face, min_quality, rotations, detector
    if abandon and asked_of_photos(how):
        raise ConfigError("--abandon discards a migration: omit --photos and its options")
    given = missing, data, flip, precision, device, engine
    if abandon and given != ("refuse", None, None, None, "auto", "auto"):
        raise ConfigError("--abandon discards a migration: omit all other options")
    with Gallery.open(gallery) as opened:
        if model is None:
            opened.abandon_migration()
            if as_json:
                print_json({"abandoned": True, "fingerprint": opened.fingerprint})
            else:
                print(f"abandoned: the gallery keeps the model {opened.fingerprint}")
            return
        chosen = cast("Precision | None", precision)
        new = Recognizer.load(
            model,
            opened,
            flip=flip,
            precision=chosen,
            device=device,
            engine=cast("EngineName", engine),
        )
        new.photos = photos_of(new.model, *how)
        done = new.migrate(missing=cast("Missing", missing), root=data)
    if as_json:
        print_json(done.to_dict())
    else:
        _print(done)
    if not done.finished:
        raise GalleryError(
            f"{counted(len(done.missing), 'image')} cannot be embedded again, so the old model "
            "stays in use: restore them, give their folder (--data ROOT), or give --missing remove"
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
    crops = f" ({done.crops} of kept crops)" if done.crops else ""
    print(f"embedded: {counted(done.images, 'image')}{crops}{before}")
    if not done.finished:
        return
    print(f"removed:  {counted(len(done.missing), 'image')} that could not be embedded")
    print(f"moved:    from {done.before} to {done.fingerprint}")
    if done.lost:
        names = ", ".join(shown(name) for name in done.lost)
        say(f"removed with the old model: {names}; measure new operating points for the new model")
