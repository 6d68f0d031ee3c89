"""The templates of people, made again in the transaction that changes their images."""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import Keys, Settings, Vectors
from facever.gallery.store.coding import decoded, encoded
from facever.gallery.store.statements import among, each
from facever.gallery.templates import ALL, templates_of

_PEOPLE_AT_ONCE = 1024


def entry_table(settings: Settings) -> tuple[str, str]:
    """Return the table that holds the entries, and the name of their numbers in it."""
    return ("images", "image") if settings.templates == ALL else ("templates", "template")


def forget_entries(
    db: sqlite3.Connection, settings: Settings, change: int, keys: Sequence[int]
) -> None:
    """Note that all entries of some people go with a change."""
    table, number = entry_table(settings)
    each(
        db,
        f"INSERT INTO removed (entry, change) SELECT {number}, ? FROM {table}"
        " WHERE person IN ({})",
        keys,
        change,
    )


def derive(
    db: sqlite3.Connection, settings: Settings, dimension: int, change: int, keys: Sequence[int]
) -> None:
    """Make the templates of some people again; nothing where every image is an entry.

    Raises:
        GalleryError: The policy has no template for somebody's images.
    """
    if settings.templates == ALL:
        return
    forget_entries(db, settings, change, keys)
    each(db, "DELETE FROM templates WHERE person IN ({})", keys)
    for owners, templates in made(db, settings, dimension, keys):
        db.executemany(
            "INSERT INTO templates (person, vector) VALUES (?, ?)",
            zip(owners.tolist(), encoded(templates, settings.storage), strict=True),
        )


def made(
    db: sqlite3.Connection, settings: Settings, dimension: int, keys: Sequence[int]
) -> Iterator[tuple[Keys, Vectors]]:
    """Yield the keys and templates of some people as their images make them.

    Raises:
        GalleryError: The policy has no template for somebody's images.
    """
    sql = (
        "SELECT person, vector, coalesce(quality, norm) FROM images WHERE person IN ({})"
        " ORDER BY person, image"
    )
    for start in range(0, len(keys), _PEOPLE_AT_ONCE):
        rows = list(among(db, sql, keys[start : start + _PEOPLE_AT_ONCE]))
        if not rows:
            continue
        owners, blobs, weights = zip(*rows, strict=True)
        vectors = decoded(blobs, settings.storage, dimension)
        try:
            yield templates_of(settings.templates, np.array(owners), vectors, weights)
        except GalleryError as error:
            raise GalleryError(f"no templates by '{settings.templates}': {error}") from error
