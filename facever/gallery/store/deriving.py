"""The templates of people, made again in the transaction that changes their images."""

import sqlite3
from collections.abc import Iterator, Sequence

from facever.errors import GalleryError
from facever.gallery.records import Keys, Settings, Vectors
from facever.gallery.store.coding import encoded
from facever.gallery.store.damage import Damage
from facever.gallery.store.sealing import (
    IMAGES,
    TEMPLATES,
    columns,
    entry_table,
    joined,
    next_number,
    verified,
    write_checksums,
)
from facever.gallery.store.statements import among, each
from facever.gallery.templates import ALL, templates_of

_PEOPLE_AT_ONCE = 1024


def forget_entries(
    db: sqlite3.Connection, settings: Settings, change: int, keys: Sequence[int]
) -> None:
    """Note that all entries of some people go with a change."""
    table = entry_table(settings)
    each(
        db,
        f"INSERT INTO removed (entry, change) SELECT {table.number}, ? FROM {table.name}"
        " WHERE person IN ({})",
        keys,
        change,
    )


def derive(
    db: sqlite3.Connection,
    damage: Damage,
    settings: Settings,
    dimension: int,
    change: int,
    keys: Sequence[int],
) -> None:
    """Make the templates of some people again; nothing where every image is an entry.

    Images whose vector is damaged are named and count for nothing.

    Raises:
        GalleryError: The policy has no template for somebody's images.
    """
    if settings.templates == ALL:
        return
    forget_entries(db, settings, change, keys)
    each(db, "DELETE FROM templates WHERE person IN ({})", keys)
    for owners, templates in made(db, settings, dimension, keys, damage):
        first = next_number(db, TEMPLATES)
        numbers = range(first, first + len(owners))
        blobs = list(encoded(templates, settings.storage))
        rows = list(zip(numbers, owners.tolist(), blobs, strict=True))
        db.executemany("INSERT INTO templates VALUES (?, ?, ?)", rows)
        write_checksums(db, TEMPLATES, rows, settings.storage, dimension)


def made(
    db: sqlite3.Connection,
    settings: Settings,
    dimension: int,
    keys: Sequence[int],
    damage: Damage | None = None,
) -> Iterator[tuple[Keys, Vectors]]:
    """Yield the keys and templates of some people as their images make them.

    Images whose vector is damaged count for nothing; they are named where `damage` says.

    Raises:
        GalleryError: The policy has no template for somebody's images.
    """
    sql = (
        f"SELECT {columns(IMAGES)}, coalesce(quality, norm) FROM {joined(IMAGES)}"
        " WHERE t.person IN ({}) ORDER BY t.person, t.image"
    )
    for start in range(0, len(keys), _PEOPLE_AT_ONCE):
        rows = list(among(db, sql, keys[start : start + _PEOPLE_AT_ONCE]))
        found = verified(rows, settings.storage, dimension)
        if damage is not None:
            damage.name(db, IMAGES, found.damaged)
        if not len(found.numbers):
            continue
        of = {row[0]: row[-1] for row in rows}
        weights = [of[number] for number in found.numbers.tolist()]
        try:
            yield templates_of(settings.templates, found.owners, found.vectors, weights)
        except GalleryError as error:
            raise GalleryError(f"no templates by '{settings.templates}': {error}") from error
