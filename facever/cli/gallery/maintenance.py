"""`facever gallery rebuild`, `check` and `export`: a gallery's files."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.gallery.shared import (
    Folder,
    IndexKind,
    after_change,
    counted,
    print_info,
    print_json,
    totals,
)
from facever.cli.options import AsJson


def rebuild(
    gallery: Folder,
    index: IndexKind = None,
    templates: Annotated[
        str | None,
        typer.Option(help="Compare people by: all, mean, quality_mean or medoids:K."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Write vectors as float32, float16 or int8; rounded, they stay so."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the index anew; or change how people are compared, stored or indexed."""
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if storage is not None:
            opened.set_storage(storage)
        if templates is not None:
            opened.set_templates(templates)
        opened.rebuild(index)
        with after_change():
            print_info(opened, as_json)


def check(gallery: Folder, as_json: AsJson = False) -> None:
    """Look at every row, the index and the files, and say what is wrong.

    Exit status: 0 all is well, 1 something is wrong, 2 an error.
    """
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        found, now = opened.check(), totals(opened)
    if as_json:
        print_json({"findings": [one.to_dict() for one in found], "total": now})
    else:
        for one in found:
            print(f"{one.part}: {one.problem}")
        if not found:
            print(f"all is well: {now['images']} images of {now['people']} people")
    raise typer.Exit(int(bool(found)))


def export(
    gallery: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    as_json: AsJson = False,
) -> None:
    """Write all people and images as an embedding set, with all that is known of them.

    It is as worth protecting as the gallery. Operating points and calibrations are not in it.
    """
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        images = opened.export(out)
    if as_json:
        print_json({"export": str(out), "images": images})
        return
    print(f"exported: {counted(images, 'image')} to {out}")
    print(f"next:     facever gallery import OTHER_GALLERY {out}")
