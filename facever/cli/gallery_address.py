"""The argument GALLERY of every command: a folder, or the address of a gallery in PostgreSQL."""

from typing import Annotated

import typer


def checked(gallery: str | None) -> str | None:
    """Return an argument unchanged; warn of a password in it."""
    if gallery is not None and gallery.startswith(("postgresql://", "postgres://")):
        from facever.core.console import warn
        from facever.gallery.store.postgres.address import parse_address

        if parse_address(gallery).secrets:
            warn(
                "the password in the gallery's address can be seen by every user of this machine "
                "(ps) and stays in the shell's history: use PGPASSFILE or PGSERVICE instead "
                "(docs/postgres.md)"
            )
    return gallery


HELP = "The gallery's folder, or postgresql://HOST/DATABASE?gallery=NAME."
Place = Annotated[str, typer.Argument(metavar="GALLERY", callback=checked, help=HELP)]
