"""Where a gallery is: a folder, or an address in PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facever.core.files import atomic_folder
from facever.errors import GalleryError
from facever.gallery.index.kinds import checked_kind
from facever.gallery.pgvector import ONLY_POSTGRES, is_pgvector
from facever.gallery.records import Binding, Settings
from facever.gallery.store.crops import require_size
from facever.gallery.store.postgres.address import (
    GalleryAddress,
    is_address,
    parse_address,
    refuse_folder_of_address,
)
from facever.gallery.store.store import Store


def place_of(gallery: str | Path) -> Path | GalleryAddress:
    """Return the folder of a gallery, or its address in PostgreSQL.

    Raises:
        GalleryError: It begins like an address, and is none.
    """
    if is_address(gallery):
        return parse_address(str(gallery))
    folder = Path(gallery)
    refuse_folder_of_address(folder)
    return folder


def require_free(place: Path | GalleryAddress) -> None:
    """Refuse a folder that exists and is not empty; `create_store` refuses addresses.

    Raises:
        GalleryError: Something exists there.
    """
    if isinstance(place, Path) and place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise GalleryError(f"{place} already exists; open it, or choose another path")


def checked_index(place: Path | GalleryAddress, kind: str, dimension: int) -> str:
    """Return a kind of index in stored form.

    Raises:
        GalleryError: The kind is unknown, or not for galleries of this place.
    """
    checked = checked_kind(kind, dimension)
    if is_pgvector(checked) and isinstance(place, Path):
        raise GalleryError(f"{place}: {ONLY_POSTGRES}")
    return checked


def create_store(place: Path | GalleryAddress, binding: Binding, settings: Settings) -> None:
    """Create an empty store, all of it or nothing.

    Raises:
        GalleryError: It cannot be created, or crops are to be kept that can be whole photos.
    """
    if settings.keep_crops:
        require_size(binding)
    with new_place(place) as new:
        Store.create(new, binding, settings, shown_as=place if isinstance(place, Path) else None)


@contextmanager
def new_place(
    place: Path | GalleryAddress, replace: bool = False
) -> Iterator[Path | GalleryAddress]:
    """Yield where to make a store: a temporary folder that is renamed at the end, or the address.

    Args:
        place: The final place.
        replace: Whether a folder that is there may be replaced.

    Raises:
        GalleryError: The folder cannot be made.
    """
    if isinstance(place, GalleryAddress):
        yield place
        return
    try:
        real = place.resolve() if place.is_symlink() else place
        with atomic_folder(real, private=True, replace=replace) as folder:
            yield folder
    except OSError as error:
        raise GalleryError(f"{place} cannot be created: {error.strerror}") from error
