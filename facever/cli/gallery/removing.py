"""`facever gallery remove` and `purge`: remove people and erase their data."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import counted, print_json, source_in, totals, totals_after
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson


def remove(
    gallery: Place,
    people: Annotated[list[str], typer.Argument(metavar="PERSON...", help="Ids of people.")],
    source: Annotated[
        str | None,
        typer.Option(help="Remove only the image of one person with this source."),
    ] = None,
    image: Annotated[
        int | None,
        typer.Option(
            help="Remove only the image of one person with this number (see facever gallery "
            "images)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove people, or one image of a person, without confirmation.

    After the command, no answer contains them. Their bytes can remain in the store's log and in the
    index until facever gallery purge.
    """
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if source is not None and image is not None:
        raise ConfigError("give either --source or --image, not both")
    if (source is not None or image is not None) and len(people) > 1:
        raise ConfigError("--source and --image select an image of one person: give one person")
    with Gallery.open(gallery) as opened:
        before = totals(opened)
        if source is not None:
            images, gone = opened.remove(people[0], source_in(opened, people[0], source)), 0
        elif image is not None:
            images, gone = opened.remove(people[0], image), 0
        else:
            images, gone = opened.remove_all(people), len(set(people))
        now = totals_after(opened, before)
    if as_json:
        print_json({"people": gone, "images": images, "gallery": str(opened.path), "total": now})
        return
    print(f"removed: {counted(images, 'image')}, {counted(gone, 'person')}")
    print(f"gallery: {now['images']} images of {now['people']} people in {opened.path}")
    print(f"next:    facever gallery purge {opened.path}   (erases remaining bytes from its files)")


def purge(gallery: Place, as_json: AsJson = False) -> None:
    """Rewrite the gallery's files so that no byte of removed data remains in them.

    This does not erase copies of the folder, disk snapshots, or overwritten blocks on the disk.
    """
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        before, there = opened.size(), totals(opened)
        opened.purge()
        now = totals_after(opened, there)
        after = opened.size()
    if as_json:
        print_json({"gallery": str(opened.path), "before": before, "after": after, "total": now})
        return
    print(f"purged:  the store, its log and the index of {opened.path}")
    print(f"bytes:   {after:,} ({before:,} before)")
