"""The rows of images: add, read, move and remove them; and photos."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from facever.errors import NotEnrolledError
from facever.gallery.checksums import checksums_of
from facever.gallery.image_filters import ImageFilter
from facever.gallery.records import (
    Binding,
    Duplicate,
    Keys,
    NewImages,
    Row,
    Storage,
    StoredImage,
    Vectors,
    shown,
)
from facever.gallery.storage import encoded
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.crops import add_crops, crop_column, give_crops
from facever.gallery.store.database import Transaction, record
from facever.gallery.store.entries import derive, forget_entries_of, forget_images
from facever.gallery.store.facts import under_way
from facever.gallery.store.people import note_removal, whole_json
from facever.gallery.store.vectors import (
    IMAGES,
    MIGRATED,
    VectorTable,
    add_checksums,
    columns,
    insert_checksums,
    joined,
    verified,
    whole,
)

_READ_AT_ONCE = 4096
_RECORD = "source, hash, enrolled, norm, quality, camera, taken"


# -- queries ------------------------------------------------------------------------------------


def images_of(read: Transaction, key: int, person: str) -> list[StoredImage]:
    """Return the records of a person's images, in order of their numbers."""
    kept = crop_column(read, "images.image")
    sql = f"SELECT image, {_RECORD}, {kept} FROM images WHERE person = ? ORDER BY image"
    rows = read.db.execute(sql, [key]).fetchall()
    return [
        StoredImage(*(*row[:-1], bool(row[-1])))
        for row in rows
        if _is_sound(read, person, row[0], row[1:-1])
    ]


def images_named(
    db: StoreConnection, key: int, person: str, named: Sequence[str | int]
) -> list[int]:
    """Return the numbers of images of a person, ascending, by their sources or numbers."""
    own = db.execute("SELECT image, source FROM images WHERE person = ?", [key]).fetchall()
    images: set[int] = set()
    for wanted in named:
        at = 1 if isinstance(wanted, str) else 0
        found = {row[0] for row in own if row[at] == wanted}
        if not found or isinstance(wanted, bool):
            name = f"from {shown(wanted)}" if isinstance(wanted, str) else f"number {wanted}"
            raise NotEnrolledError(f"{shown(person)} has no image {name}")
        images |= found
    return sorted(images)


def matching(read: Transaction, wanted: ImageFilter) -> tuple[Keys, Keys]:
    """Return the numbers of the images that match a filter, ascending, and their owners."""
    condition, values = wanted.condition()
    sql = f"SELECT image, person FROM images WHERE {condition}"
    rows = read.db.execute(sql, values).fetchall()
    found = np.array(rows, np.int64).reshape(-1, 2)
    found = found[np.argsort(found[:, 0])]
    return found[:, 0], found[:, 1]


def vectors_after(read: Transaction, image: int) -> tuple[tuple[Keys, Vectors], int | None]:
    """Return the owners and vectors of the next images after a number, and the last number.

    The last number is None at the end. Damaged vectors are reported and skipped.
    """
    rows = _rows_after(read.db, image, "")
    found = whole(read, IMAGES, rows)
    return (found.owners, found.vectors), rows[-1][0] if rows else None


def rows_after(read: Transaction, image: int) -> tuple[tuple[list[Row], Vectors], int | None]:
    """Return the next images after a number with their vectors, and the last number.

    The last number is None at the end. A damaged vector is reported and NaN.
    """
    rows = _rows_after(read.db, image, _record_columns(read.db))
    return _records(read, rows), rows[-1][0] if rows else None


def rows_of(read: Transaction, key: int) -> tuple[list[Row], Vectors]:
    """Return all images of a person with their vectors; a damaged one is reported and NaN."""
    sql = f"SELECT {columns(read.db, IMAGES)}{_record_columns(read.db)} FROM {joined(IMAGES)}"
    where = " WHERE t.person = ? ORDER BY t.image"
    return _records(read, read.db.execute(sql + where, [key]).fetchall())


def _record_columns(db: StoreConnection) -> str:
    record = ", ".join(f"t.{column}" for column in _RECORD.split(", "))
    return f", p.id, p.metadata, {record}, {landmarks_column(db, 't.image')}, t.image"


def _records(read: Transaction, rows: Sequence[tuple[Any, ...]]) -> tuple[list[Row], Vectors]:
    """Return the intact rows of images, and their vectors, NaN where damaged."""
    sound = [row for row in rows if _is_sound(read, row[5], row[0], row[7:14])]
    found = whole(read, IMAGES, sound)
    vectors = np.full((len(sound), read.facts().binding.dimension), np.nan, np.float32)
    at = {row[0]: place for place, row in enumerate(sound)}
    vectors[[at[number] for number in found.numbers.tolist()]] = found.vectors
    kept = [Row(row[5], whole_json(read, row[5], row[6]), *row[7:]) for row in sound]
    return kept, vectors


def _rows_after(db: StoreConnection, image: int, more: str) -> list[tuple[Any, ...]]:
    """Return the next rows of images after a number, for `verified`."""
    sql = (
        f"SELECT {columns(db, IMAGES)}{more} FROM {joined(IMAGES, after=True)} WHERE t.image > ?"
        f" ORDER BY t.image LIMIT {_READ_AT_ONCE}"
    )
    return db.execute(sql, [image, image]).fetchall()


def find_duplicates(db: StoreConnection, images: NewImages) -> Iterator[Duplicate]:
    """Yield the images that are already in the store, or given twice.

    Images are the same if their hashes are equal; if one has no hash, if their sources are equal.
    """
    sql = "SELECT i.{0}, i.hash, p.id FROM images i JOIN people p USING (person) WHERE i.{0} IN "
    empty = db.execute("SELECT 1 FROM images LIMIT 1").fetchone() is None  # saves two large queries
    hashes, sources = (
        [] if empty else [value for value in values if value is not None]
        for values in (images.hashes, images.sources)
    )
    by_hash = {found: person for found, _, person in db.among(sql.format("hash") + "({})", hashes)}
    by_source: dict[str, list[tuple[str | None, str]]] = {}
    for found, hash_, person in db.among(sql.format("source") + "({})", sources):
        by_source.setdefault(found, []).append((hash_, person))
    for index, (person, source, hash_) in enumerate(
        zip(images.people, images.sources, images.hashes, strict=True)
    ):
        known_as = by_hash.get(hash_) if hash_ is not None else None
        if known_as is None and source is not None:
            same = (p for h, p in by_source.get(source, ()) if h is None or hash_ is None)
            known_as = next(same, None)
        if known_as is not None:
            yield Duplicate(index, person, known_as, source)
            continue
        if hash_ is not None:
            by_hash[hash_] = person
        if source is not None:
            by_source.setdefault(source, []).append((hash_, person))


def _is_sound(read: Transaction, person: object, image: int, known: Sequence[object]) -> bool:
    """Return whether the columns of an image have valid types; report the image if not."""
    source, hash_, enrolled, norm, quality, camera, taken = known
    texts = source, hash_, camera, taken
    if (
        isinstance(person, str)
        and isinstance(enrolled, str)
        and all(value is None or isinstance(value, str) for value in texts)
        and all(value is None or isinstance(value, int | float) for value in (norm, quality))
    ):
        return True
    read.damage.warn_once(f"the row of image {image} of {shown(str(person))} is damaged")
    return False


# -- photos -------------------------------------------------------------------------------------


def count_photos(db: StoreConnection) -> int:
    """Return the number of images enrolled as photos."""
    return db.execute("SELECT count(*) FROM photos").fetchone()[0] if db.has_photos() else 0


def landmarks_column(db: StoreConnection, image: str) -> str:
    """Return SQL for an image's landmarks: NULL for a crop, empty if damaged.

    Args:
        db: A connection to the store.
        image: SQL for the image's number.
    """
    if not db.has_photos():
        return "NULL"
    sound = db.has_only("0-9. -", "f.landmarks")
    known = f"CASE WHEN {sound} THEN CAST(f.landmarks AS TEXT) ELSE '' END"
    return f"(SELECT {known} FROM photos f WHERE f.image = {image})"


def _write_photos(db: StoreConnection, landmarks: Iterable[tuple[int, str]]) -> None:
    """Store the landmarks of the faces in images, by number; empty if unknown."""
    rows = list(landmarks)
    if rows:
        db.make_photos()
        db.insert("photos", ["image", "landmarks"], rows)


# -- changes ------------------------------------------------------------------------------------


def add_images(
    change: Transaction, images: NewImages, kept: Sequence[int], owners: Sequence[int], time: str
) -> None:
    """Write images of people with these keys, and their checksums."""
    db, facts = change.db, change.facts()
    storage, times = facts.settings.storage, images.times
    qualities, cameras, taken = images.qualities, images.cameras, images.taken
    begin = db.allot("images", len(kept))
    for start in range(0, len(kept), db.rows_at_once):
        some = kept[start : start + db.rows_at_once]
        blobs = encoded(images.vectors[some], storage)
        rows = list(zip(count(begin + start), owners[start:], blobs, strict=False))
        db.insert(
            "images",
            ["image", "person", *_RECORD.split(", "), "vector"],
            (
                (
                    number,
                    owner,
                    images.sources[index],
                    images.hashes[index],
                    time if times is None else times[index],
                    images.norms[index],
                    None if qualities is None else qualities[index],
                    None if cameras is None else cameras[index],
                    None if taken is None else taken[index],
                    blob,
                )
                for index, (number, owner, blob) in zip(some, rows, strict=True)
            ),
        )
        add_checksums(db, IMAGES, rows, storage, facts.binding.dimension)
        if images.photos is not None:
            known = ((row[0], images.photos[index]) for index, row in zip(some, rows, strict=True))
            _write_photos(db, [(number, text) for number, text in known if text is not None])
        if (crop_at := images.crops) is not None:
            owned = zip(some, rows, strict=True)
            add_crops(change, ((row[0], row[1], crop_at(index)) for index, row in owned))


def remove_people(change: Transaction, people: Mapping[str, int]) -> int:
    """Remove people (keys by id), and return their number of images."""
    db, keys = change.db, list(people.values())
    sql = "SELECT person, count(*) FROM images WHERE person IN ({}) GROUP BY person"
    counts: dict[int, int] = dict(db.among(sql, keys))
    number = record(db, "remove", people=len(keys), images=sum(counts.values()))
    removed = {person: counts.get(key, 0) for person, key in people.items()}
    note_removal(change, number, "remove", removed)
    forget_entries_of(change, number, keys)
    for table in ("templates", "images", "people"):
        db.each(f"DELETE FROM {table} WHERE person IN ({{}})", keys)
    return sum(counts.values())


def remove_images(change: Transaction, number: int, images: Sequence[int], action: str) -> None:
    """Remove images by number, and add it to the audit log."""
    sql = "SELECT p.id, p.person FROM images i JOIN people p USING (person) WHERE image IN ({})"
    counts: dict[str, int] = {}
    keys: dict[str, int] = {}
    for person, key in change.db.among(sql, images):
        keys[person] = key
        counts[person] = counts.get(person, 0) + 1
    note_removal(change, number, action, counts)
    forget_images(change, number, images)
    change.db.each("DELETE FROM images WHERE image IN ({})", images)
    derive(change, number, sorted(keys.values()))


def give_images(change: Transaction, number: int, images: Sequence[int], of: int, to: int) -> None:
    """Move images to another person, with new numbers, so that indexes notice it.

    A damaged vector remains damaged: it gets no checksum.
    """
    db, facts = change.db, change.facts()
    named = f"{_RECORD}, vector"
    first = db.allot("images", len(images))
    fresh = dict(zip(images, range(first, first + len(images)), strict=True))
    sql = (
        f"INSERT INTO images (image, person, {named}) SELECT ?, ?, {named} FROM images"
        " WHERE image = ?"
    )
    db.executemany(sql, [(new, to, image) for image, new in fresh.items()])
    _renew_checksums(db, IMAGES, fresh, to, facts.settings.storage, facts.binding)
    if db.has_photos():
        sql = "INSERT INTO photos SELECT ?, landmarks FROM photos WHERE image = ?"
        db.executemany(sql, [(new, image) for image, new in fresh.items()])
    give_crops(change, fresh, to)
    pending = under_way(db, change.name)
    if pending is not None:
        sql = "INSERT INTO migrated SELECT ?, norm, vector FROM migrated WHERE image = ?"
        db.executemany(sql, [(new, image) for image, new in fresh.items()])
        _renew_checksums(db, MIGRATED, fresh, 0, "float32", pending)
    forget_images(change, number, images)
    db.each("DELETE FROM images WHERE image IN ({})", images)
    derive(change, number, sorted({of, to}))


def _renew_checksums(
    db: StoreConnection,
    table: VectorTable,
    fresh: Mapping[int, int],
    owner: int,
    storage: Storage,
    binding: Binding,
) -> None:
    """Write the checksums of copied rows whose originals are intact."""
    sql = f"SELECT {columns(db, table)} FROM {joined(table)} WHERE t.{table.number} IN ({{}})"
    found = verified(list(db.among(sql, list(fresh))), storage, binding.dimension)
    numbers = np.array([fresh[number] for number in found.numbers.tolist()], np.int64)
    made = checksums_of(numbers, np.full(len(numbers), owner), found.vectors)
    insert_checksums(db, table, numbers, made)
