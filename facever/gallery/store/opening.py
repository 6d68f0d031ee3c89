"""Where the store of a gallery is: its tables are made and opened, by the engine of the place."""

from collections.abc import Callable
from pathlib import Path

from facever.errors import GalleryError
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Database
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.sqlite.formats import make_file, open_file

FILE = "gallery.db"
Begin = Callable[[StoreConnection], None]


def make_database(
    place: Path | GalleryAddress,
    begin: Begin,
    *,
    shown_as: Path | None = None,
    replace: bool = False,
) -> None:
    """Make the tables of a store, readable by their owner only.

    Args:
        place: The gallery's folder, or its address in PostgreSQL.
        begin: Writes the first rows, in the transaction that makes the tables.
        shown_as: The final name of the folder, for messages.
        replace: In PostgreSQL, drop the gallery that has this name, in the same transaction. A
            folder is replaced by whoever gives a temporary one.

    Raises:
        GalleryError: The tables cannot be made.
    """
    if isinstance(place, GalleryAddress):
        from facever.gallery.store.postgres.galleries import make_gallery

        make_gallery(place, begin, replace=replace)
    else:
        make_file(place / FILE, begin, (shown_as or place) / FILE)


def open_database(
    place: Path | GalleryAddress, wait: float, *, incomplete: bool = False
) -> Database:
    """Open the tables of a store; upgrade an older format.

    Args:
        place: The gallery's folder, or its address in PostgreSQL.
        wait: Seconds to wait for another writer.
        incomplete: It may be an incomplete copy, which is not upgraded.

    Raises:
        GalleryError: There is no store, or it has a newer format, is damaged, incomplete, or cannot
            be opened.
    """
    if isinstance(place, GalleryAddress):
        from facever.gallery.store.postgres.galleries import open_gallery

        return open_gallery(place, wait, incomplete=incomplete)
    return open_file(place / FILE, wait, incomplete=incomplete)


def has_database(place: Path | GalleryAddress) -> bool:
    """Return whether there is a store, complete or not.

    Raises:
        GalleryError: The folder cannot be read, there is no connection, or the database is of
            another program.
    """
    if isinstance(place, GalleryAddress):
        from facever.gallery.store.postgres.galleries import has_gallery

        return has_gallery(place)
    try:
        return (place / FILE).is_file()
    except OSError as error:
        raise GalleryError(f"{place} cannot be read: {error.strerror}") from error
