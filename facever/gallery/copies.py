"""Copies of whole galleries, between folders and PostgreSQL in either direction."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from facever.core.console import progress, say, warn
from facever.errors import GalleryError
from facever.gallery.place import new_place, place_of, require_free
from facever.gallery.store.copies import CopiedState
from facever.gallery.store.database import Database
from facever.gallery.store.opening import has_database, make_database, open_database
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.store import Store
from facever.gallery.uses import UseLog
from facever.render.values import Record

Place = Path | GalleryAddress


@dataclass(frozen=True)
class GalleryCopy(Record):
    """A complete copy of a gallery.

    Args:
        source: The gallery, without a password.
        target: The copy, without a password.
        people: Number of people.
        images: Number of images.
        uses: Number of rows in the log of uses.
        rows: Number of rows in the other tables.
        sha256: Digest of these rows, which both galleries have.
        resumed: Whether an incomplete copy was resumed.
    """

    source: str
    target: str
    people: int
    images: int
    uses: int
    rows: int
    sha256: str
    resumed: bool


def copy_gallery(source: str | Path, target: str | Path, *, wait: float = 10.0) -> GalleryCopy:
    """Copy a gallery with all that it has, from or to a folder or PostgreSQL.

    The copy has the same identifier, people, images, vectors, templates, operating points,
    calibrations, unfinished migration, change numbers, audit log with its key, and log of uses. It
    is of one state of the gallery, which others may read and write meanwhile. After an
    interruption, the same call continues if the gallery has not changed, and begins again
    otherwise. An incomplete copy cannot be opened.

    Damaged rows are copied as they are, with a warning.

    Args:
        source: The gallery's folder, or its address in PostgreSQL.
        target: A folder or address without a gallery, or of an incomplete copy.
        wait: Seconds to wait for another writer.

    Raises:
        GalleryError: There is no gallery at `source`, something exists at `target`, it cannot hold
            a row, or the copy was interrupted.
    """
    origin, place = place_of(source), place_of(target)
    with closing(Store.open(origin, wait)) as store:
        begun = _incomplete(place, wait)
        if begun is not None and begun.gallery != store.gallery:
            raise GalleryError(
                f"{_name(place)} is an incomplete copy of another gallery; choose another place"
            )
        for finding in store.check():
            warn(f"{store.name}: {finding.problem}; it is copied as it is")
        with store.reading():
            state = store.copied_state()
            if begun != state:
                _begin(place, state, again=begun is not None)
            uses = _copy_uses(origin, place)
            total = 2 * store.row_count()
            with _copy_at(place, wait) as copy, progress("copy", total, "rows") as bar:
                copied = store.copy_into(copy, bar.advance)
            people, images = store.counts()
    return GalleryCopy(
        _name(origin), _name(place), people, images, uses, *copied, resumed=begun == state
    )


def _incomplete(place: Place, wait: float) -> CopiedState | None:
    """Return the state of which an incomplete copy is; None if there is nothing.

    Raises:
        GalleryError: Something else is there.
    """
    if not has_database(place):
        require_free(place)
        return None
    with _copy_at(place, wait) as copy, copy.reading() as read:
        begun = CopiedState.begun(read)
    if begun is None:
        raise GalleryError(f"{_name(place)} already exists; copy to another place")
    return begun


def _begin(place: Place, state: CopiedState, *, again: bool) -> None:
    """Make an empty copy, in the place of one of another state."""
    if again:
        say(f"{_name(place)}: the gallery (or facever) has changed; the copy begins again")
    shown_as = place if isinstance(place, Path) else None
    with new_place(place, replace=again) as new:
        make_database(new, state.write, shown_as=shown_as, replace=again)


@contextmanager
def _copy_at(place: Place, wait: float) -> Iterator[Database]:
    with closing(open_database(place, wait, incomplete=True)) as opened:
        yield opened


def _copy_uses(source: Place, target: Place) -> int:
    """Copy the log of uses, if there is one, and return its number of rows."""
    log = UseLog.existing(source)
    if log is None:
        return 0
    with log, UseLog(target) as copy:
        return copy.replace_by(log)


def _name(place: Place) -> str:
    return place.name if isinstance(place, GalleryAddress) else str(place)
