"""`facever gallery crops`: whether a gallery keeps the crops of its images."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import after_change, counted, print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson


def crops(
    gallery: Place,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the crops of images that are enrolled from now on."),
    ] = False,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Keep no crops, and remove those that are kept."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show whether crops are kept, keep them from now on, or remove them all.

    A crop is what the model saw of an image: the aligned face, or the given crop, in the size of
    the model's input, as PNG without metadata. The photo is not kept.
    """
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if keep and remove:
        raise ConfigError("give either --keep or --remove")
    with Gallery.open(gallery) as opened:
        removed = opened.set_keep_crops(keep) if keep or remove else 0
        with after_change():
            info = opened.info()
            said = {"keep_crops": info.keep_crops, "crops": info.crops, "images": info.images}
            if as_json:
                print_json({**said, "removed": removed})
                return
            if remove:
                print(f"removed: {counted(removed, 'crop')}")
            kept = f"kept, of {info.crops} of {counted(info.images, 'image')}"
            print(f"crops:   {kept if info.keep_crops else 'not kept'}")
