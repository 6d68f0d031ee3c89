"""`facever gallery expire`: remove people whose time is over."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import counted, print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson


def expire(
    gallery: Place,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List who is due, and remove nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the people whose metadata `expires` is over.

    It is a date (2027-01-31; the day is the last one, in UTC) or a time with its zone
    (2027-01-31T12:00:00+01:00). People with another value are reported and kept.
    """
    from facever.core.console import warn
    from facever.gallery.expiry import expired
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    with Gallery.open(gallery) as opened:
        found = expired(opened)
        removed = 0 if dry_run or not found.due else opened.remove_all(found.due)
    for person in found.unclear:
        warn(
            f"expires of {shown(person)} is neither a date nor a time with its zone: they are kept"
        )
    if as_json:
        people = {"due": found.due, "unclear": found.unclear}
        print_json({**people, "removed": not dry_run, "images": removed})
        return
    for person in found.due:
        print(shown(person))
    what = counted(len(found.due), "person")
    print(f"{what} due" if dry_run else f"{what} removed, {counted(removed, 'image')}")
