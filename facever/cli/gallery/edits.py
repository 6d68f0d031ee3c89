"""`facever gallery update`, `merge` and `split`: edit people."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import Person, counted, pairs_of, print_json, source_in
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson

_DIGITS = 20  # more digits than any image number has


def update(
    gallery: Place,
    person: Person,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Metadata to set."),
    ] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option(help="A metadata key to delete. Repeatable."),
    ] = None,
    rename: Annotated[
        str | None,
        typer.Option(help="New id for the person."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a person's metadata or id."""
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    if not given and not forget and rename is None:
        raise ConfigError("nothing to change: give KEY=VALUE, --forget KEY or --rename ID")
    values = dict(pairs_of(given or [], "metadata"))
    with Gallery.open(gallery) as opened:
        # Read before the change: an error in reading must not hide that it was made.
        known = {**opened.metadata(person), **values}
        opened.update(person, values, remove_keys=forget or [], new_id=rename)
    name = person if rename is None else rename
    known = {
        key: value for key, value in known.items() if key not in (forget or []) or key in values
    }
    if as_json:
        print_json({"person": name, "metadata": known})
        return
    told = ", ".join(f"{shown(key)}: {shown(str(value))}" for key, value in known.items())
    print(f"{shown(name)}: {told or 'no metadata'}")


def merge(
    gallery: Place,
    person: Person,
    into: Annotated[
        str, typer.Argument(metavar="INTO", help="Id of the person who gets the images.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move all images of a person to another person: two ids are the same person.

    Where both people have a metadata key, the value of INTO is kept.
    """
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    with Gallery.open(gallery) as opened:
        moved = opened.merge(person, into)
    if as_json:
        print_json({"person": into, "merged": person, "images": moved})
        return
    print(f"merged: {counted(moved, 'image')} moved from {shown(person)} to {shown(into)}")


def split(
    gallery: Place,
    person: Person,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Id of the new person.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Images of the new person: sources, or numbers (see facever gallery images).",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Move some of a person's images to a new person: one id was two people."""
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    with Gallery.open(gallery) as opened:
        which = [
            int(image)
            if image.isdecimal() and len(image) < _DIGITS
            else source_in(opened, person, image)
            for image in images
        ]
        moved = opened.split(person, which, new)
    if as_json:
        print_json({"person": new, "split": person, "images": moved})
        return
    print(f"split: {counted(moved, 'image')} moved from {shown(person)} to {shown(new)}")
