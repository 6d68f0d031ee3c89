"""`facever gallery update`, `merge` and `split`: what is known of people, and who is who."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import Folder, Person, counted, pairs_of, print_json, source_in
from facever.cli.options import AsJson

_DIGITS = 20  # more than an image's number has


def update(
    gallery: Folder,
    person: Person,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Metadata to set."),
    ] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option(help="A key of the metadata to forget. Repeatable."),
    ] = None,
    rename: Annotated[
        str | None,
        typer.Option(help="Another id for the person."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is known of a person, or their id."""
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    if not given and not forget and rename is None:
        raise ConfigError("nothing to change: give KEY=VALUE, --forget KEY or --rename ID")
    values = dict(pairs_of(given or [], "metadata"))
    with Gallery.open(gallery) as opened:
        known = {**opened.metadata(person), **values}  # what is read afterwards undoes nothing
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
    gallery: Folder,
    person: Person,
    into: Annotated[str, typer.Argument(metavar="INTO", help="Whom they really are.")],
    as_json: AsJson = False,
) -> None:
    """Give a person's images to another: two ids turned out to be one person.

    What is known of INTO wins where both have a key.
    """
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    with Gallery.open(gallery) as opened:
        moved = opened.merge(person, into)
    if as_json:
        print_json({"person": into, "merged": person, "images": moved})
        return
    print(f"merged: {counted(moved, 'image')} of {shown(person)} now of {shown(into)}")


def split(
    gallery: Folder,
    person: Person,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new person's id.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="The new one's: sources, or numbers (see gallery images)."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Give some of a person's images to a new person: one id turned out to be two people."""
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
    print(f"split: {counted(moved, 'image')} of {shown(person)} now of {shown(new)}")
