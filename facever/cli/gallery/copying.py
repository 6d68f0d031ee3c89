"""`facever gallery copy`: copy a gallery to another place, of either kind."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import counted, print_json
from facever.cli.gallery_address import HELP, checked
from facever.cli.options import AsJson


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", callback=checked, help=HELP)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            callback=checked,
            help="A new folder, or an address in PostgreSQL without a gallery.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy a gallery with all that it has, between folders and PostgreSQL in either direction.

    The copy is verified by SHA-256 of all rows. After an interruption, the same command resumes
    it; an incomplete copy cannot be opened. The gallery can be used meanwhile.

    Example: facever gallery copy GALLERY 'postgresql://db.example.org/faces?gallery=staff'
    """
    from facever.gallery.copies import copy_gallery

    done = copy_gallery(source, target)
    if as_json:
        print_json(done.to_dict())
        return
    of = f"{counted(done.images, 'image')} of {counted(done.people, 'person')}"
    print(f"{'resumed: ' if done.resumed else 'copied:  '} {of} to {done.target}")
    print(f"verified: {counted(done.rows, 'row')}, SHA-256 {done.sha256}")
