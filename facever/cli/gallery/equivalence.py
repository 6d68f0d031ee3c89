"""`facever gallery accept-equivalent`: use an exported model with a gallery of its original."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.gallery.shared import print_fields, print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson
from facever.cli.photo_options import Photos

if TYPE_CHECKING:
    from facever.models.loading import Engine


def accept_equivalent(
    gallery: Place,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL.onnx", help="An fp32 file that facever export made."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Compare on these images, with --original. [default: images of the gallery whose "
            "files are unchanged, with the stored vectors]",
        ),
    ] = None,
    original: Annotated[
        Path | None, typer.Option(help="With --images: the gallery's model, such as its run.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Place of images that are no longer at their enrolled path."),
    ] = None,
    photos: Photos = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Engine that computes the exported model: onnxruntime or openvino. It is accepted "
            "with this engine only."
        ),
    ] = "onnxruntime",
    remove: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Refuse an accepted model from now on, instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take the vectors of an exported model like those of the gallery's own model.

    Both models are measured on the same images: each cosine distance must be at most 1e-5. Then
    searches, verifications and enrolments with the exported model work, and operating points stay
    valid. fp16, bf16 and int8 are other embedding spaces.
    """
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.models.loading import load_model

    if (model is None) == (remove is None):
        raise ConfigError("give either MODEL.onnx to accept it, or --remove FINGERPRINT")
    if remove is not None and (images, original, data, photos) != (None, None, None, None):
        raise ConfigError("--remove takes only a fingerprint: omit all other options")
    with Gallery.open(gallery) as opened:
        if model is None:
            assert remove is not None
            opened.remove_equivalent(remove)
            print_json({"removed": remove}) if as_json else print(f"removed: {remove}")
            return
        flip = bool(opened.info().options.get("flip", False))
        known = None if original is None else load_model(original, device="cpu", flip=flip)
        found = opened.accept_equivalent(
            load_model(model, engine=cast("Engine", engine)),
            original=known,
            images=images,
            root=data,
            photos=photos,
        )
    if as_json:
        print_json(found.to_dict())
        return
    print_fields(
        {
            "accepted": f"{model} ({found.fingerprint})",
            "distance": f"largest {found.largest:.1e}, mean {found.mean:.1e} (1 - cosine)",
            "images": f"{found.images}, {found.measured_on}",
            "next": f"facever gallery search {opened.path} IMAGE --model {model}",
        }
    )
