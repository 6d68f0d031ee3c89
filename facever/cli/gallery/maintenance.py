"""`facever gallery rebuild`, `check` and `export`: maintain a gallery's files."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.gallery.shared import (
    IndexKind,
    after_change,
    counted,
    print_info,
    print_json,
    totals,
)
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson


def rebuild(
    gallery: Place,
    index: IndexKind = None,
    templates: Annotated[
        str | None,
        typer.Option(help="Templates of a person: all, mean, quality_mean or medoids:K."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Number format of stored vectors: float32, float16 or int8. Rounding cannot be "
            "undone."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the index; optionally change templates, storage or kind of index."""
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        if storage is not None:
            opened.set_storage(storage)
        if templates is not None:
            opened.set_templates(templates)
        opened.rebuild(index)
        with after_change():
            print_info(opened, as_json)


def check(gallery: Place, as_json: AsJson = False) -> None:
    """Check every row, the index and the files; list problems.

    Exit status: 0 no problem, 1 at least one problem, 2 an error.
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
            print(f"no problem found: {now['images']} images of {now['people']} people")
    raise typer.Exit(int(bool(found)))


def export(
    gallery: Place,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder.")],
    as_json: AsJson = False,
) -> None:
    """Write all people and images with their metadata as an embedding set.

    Protect the export like the gallery. It does not contain operating points and calibrations.
    """
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        images = opened.export(out)
    if as_json:
        print_json({"export": str(out), "images": images})
        return
    print(f"exported: {counted(images, 'image')} to {out}")
    print(f"next:     facever gallery import OTHER_GALLERY {out}")
