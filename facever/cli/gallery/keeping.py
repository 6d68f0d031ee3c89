"""`facever gallery rebuild`: what is derived is made anew, or otherwise."""

from typing import Annotated, Optional

import typer

from facever.cli.gallery.shared import AsJson, Folder, IndexKind, print_info


def rebuild(
    gallery: Folder,
    index: IndexKind = None,
    templates: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="Compare people by: all, mean, quality_mean or medoids:K."),
    ] = None,
    storage: Annotated[
        Optional[str],  # noqa: UP045
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
        print_info(opened, as_json)
