"""`facever gallery remove` and `purge`: people go, and then their last bytes."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.gallery.shared import Folder, counted, print_json, source_in, totals, totals_after
from facever.cli.options import AsJson


def remove(
    gallery: Folder,
    people: Annotated[list[str], typer.Argument(metavar="PERSON...", help="Ids of people.")],
    source: Annotated[
        str | None,
        typer.Option(help="Only the image from here, of one person."),
    ] = None,
    image: Annotated[
        int | None,
        typer.Option(help="Only the image of this number (see gallery images), of one person."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove people, or one image of a person; nobody asks back.

    When the command returns they are in no answer any more. Bytes of them may stay in the store's
    log and in the index until facever gallery purge.
    """
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if source is not None and image is not None:
        raise ConfigError("either --source or --image")
    if (source is not None or image is not None) and len(people) > 1:
        raise ConfigError("--source and --image are an image of one person: name one person")
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
        print_json({"people": gone, "images": images, "gallery": str(gallery), "total": now})
        return
    print(f"removed: {counted(images, 'image')}, {counted(gone, 'person')}")
    print(f"gallery: {now['images']} images of {now['people']} people in {gallery}")
    print(f"next:    facever gallery purge {gallery}   (until then bytes may stay in its files)")


def purge(gallery: Folder, as_json: AsJson = False) -> None:
    """Write the gallery's files anew, so that no byte of what was removed stays in them.

    Copies that were made of the folder, and what a disk or its snapshots keep of overwritten files,
    are out of reach.
    """
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        before, there = _bytes_of(gallery), totals(opened)
        opened.purge()
        now = totals_after(opened, there)
    after = _bytes_of(gallery)
    if as_json:
        print_json({"gallery": str(gallery), "before": before, "after": after, "total": now})
        return
    print(f"purged:  the store, its log and the index of {gallery}")
    print(f"bytes:   {after:,} ({before:,} before)")


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
