"""The crops of a store's images: written if the gallery keeps them, verified when read.

Only queries for crops read them: no search, and no opening of a gallery.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from facever.data.crops import KeptCrop
from facever.errors import GalleryError, NotEnrolledError
from facever.gallery.checksums import checksum_of_crop
from facever.gallery.records import Binding, shown
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Transaction, record

ROWS_AT_ONCE = 256
"""Crops that are in memory together."""
_COLUMNS = ("image", "alignment", "png", "checksum")


# -- queries ------------------------------------------------------------------------------------


def count_crops(read: Transaction) -> int:
    """Return the number of images whose crop is kept."""
    return int(read.first("SELECT count(*) FROM crops")[0]) if _keeps(read) else 0


def crop_column(read: Transaction, image: str) -> str:
    """Return SQL for whether the crop of an image is kept.

    Args:
        read: The transaction.
        image: SQL for the image's number.
    """
    return f"EXISTS (SELECT 1 FROM crops WHERE image = {image})" if _keeps(read) else "1 = 0"


def crops_of(read: Transaction, images: Sequence[int]) -> Iterator[tuple[int, KeptCrop]]:
    """Yield the intact crops of images, with their numbers; report damaged ones."""
    if not _keeps(read):
        return
    for start in range(0, len(images), ROWS_AT_ONCE):
        for image, crop in _verified(read.db, images[start : start + ROWS_AT_ONCE]):
            if crop is not None:
                yield image, crop
            elif read.damage.unnamed("crops", [image]):
                read.damage.warn(f"{_damaged(image)}; it is not used")


def crop_of(read: Transaction, image: int, person: str) -> KeptCrop:
    """Return the crop of an image of a person.

    Raises:
        NotEnrolledError: None is kept, or it is damaged.
    """
    for _, crop in crops_of(read, [image]):
        return crop
    if _keeps(read) and read.first("SELECT 1 FROM crops WHERE image = ?", image):
        raise NotEnrolledError(f"{_damaged(image)}: remove the image and enroll it again")
    raise NotEnrolledError(f"no crop of image {image} of {shown(person)} is kept")


def damaged_crops(read: Transaction) -> Iterator[str]:
    """Yield a description of each damaged crop."""
    after = 0
    sql = f"SELECT image FROM crops WHERE image > ? ORDER BY image LIMIT {ROWS_AT_ONCE}"
    while _keeps(read) and (rows := read.db.execute(sql, [after]).fetchall()):
        after = rows[-1][0]
        for image, crop in _verified(read.db, [number for (number,) in rows]):
            if crop is None:
                yield _damaged(image)


def _keeps(read: Transaction) -> bool:
    return read.facts().settings.keep_crops


def _damaged(image: int) -> str:
    return f"the crop of image {image} is damaged"


def _verified(db: StoreConnection, images: Sequence[int]) -> Iterator[tuple[int, KeptCrop | None]]:
    """Yield the crops of images, with their numbers; None for a damaged one."""
    sql = (
        f"SELECT c.image, i.person, {db.as_bytes('c.alignment')}, {db.as_blob('c.png')}, c.checksum"
        " FROM crops c LEFT JOIN images i ON i.image = c.image WHERE c.image IN ({})"
    )
    for image, owner, alignment, png, checksum in list(db.among(sql, images)):
        typed = isinstance(owner, int) and isinstance(alignment, bytes) and isinstance(png, bytes)
        whole = typed and checksum == checksum_of_crop(image, owner, alignment, png)
        yield image, KeptCrop(alignment.decode(), png) if whole else None


# -- changes ------------------------------------------------------------------------------------


def add_crops(change: Transaction, rows: Iterable[tuple[int, int, KeptCrop | None]]) -> None:
    """Write the crops of new images, if the gallery keeps crops.

    Args:
        change: The transaction that adds the images.
        rows: Number and owner of each image, and its crop or None.
    """
    if _keeps(change):
        made = (
            (image, crop.alignment, crop.png, _checksum(image, owner, crop))
            for image, owner, crop in rows
            if crop is not None
        )
        change.db.insert("crops", _COLUMNS, made)


def give_crops(change: Transaction, fresh: Mapping[int, int], owner: int) -> None:
    """Copy the crops of images to new numbers of another owner; a damaged one remains damaged."""
    if not _keeps(change):
        return
    db, images = change.db, list(fresh)
    for start in range(0, len(images), ROWS_AT_ONCE):
        for image, crop in _verified(db, images[start : start + ROWS_AT_ONCE]):
            if crop is not None:
                add_crops(change, [(fresh[image], owner, crop)])
            else:
                sql = "INSERT INTO crops SELECT ?, alignment, png, checksum FROM crops"
                db.execute(f"{sql} WHERE image = ?", [fresh[image], image])


def change_keeping(change: Transaction, keep: bool) -> int:
    """Keep the crops of images from now on, or none; return the number of crops removed.

    Raises:
        GalleryError: The gallery's model does not state the size of its crops.
    """
    if keep == _keeps(change):
        return 0
    if keep:
        require_size(change.facts().binding)
    removed = count_crops(change)
    change.db.execute("DELETE FROM crops")
    change.removes = removed > 0
    change.write_facts({"keep_crops": keep})
    record(change.db, "keep crops" if keep else "remove crops", people=0, images=removed)
    return removed


def require_size(binding: Binding) -> None:
    """Refuse to keep crops of a model that takes images of any size: they can be whole photos.

    Raises:
        GalleryError: Its preprocessing does not state the size.
    """
    if "size" not in binding.preprocessing:
        raise GalleryError(
            "crops cannot be kept: the model does not state the size of its input "
            '(preprocessing={"size": [HEIGHT, WIDTH]})'
        )


def _checksum(image: int, owner: int, crop: KeptCrop) -> int:
    return checksum_of_crop(image, owner, crop.alignment.encode(), crop.png)
