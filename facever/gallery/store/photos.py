"""Which images of a store were enrolled as photos, and where their face is.

Their rows lie in a table of their own, which is made with the first photo: a store of crops is as
it was before photos were known.
"""

import sqlite3
from collections.abc import Iterable, Mapping

_TABLE = """
CREATE TABLE IF NOT EXISTS photos (
    image INTEGER PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    landmarks TEXT NOT NULL
)
"""


def has_photos(db: sqlite3.Connection) -> bool:
    """Return whether there is a table of photos."""
    sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'photos'"
    return db.execute(sql).fetchone() is not None


def write_photos(db: sqlite3.Connection, landmarks: Iterable[tuple[int, str]]) -> None:
    """Keep of images, by number, the landmarks of their face; empty where they are not known."""
    rows = list(landmarks)
    if rows:
        db.execute(_TABLE)
        db.executemany("INSERT INTO photos VALUES (?, ?)", rows)


def copy_photos(db: sqlite3.Connection, fresh: Mapping[int, int]) -> None:
    """Keep of images that get new numbers what is known of the former."""
    if has_photos(db):
        sql = "INSERT INTO photos SELECT ?, landmarks FROM photos WHERE image = ?"
        db.executemany(sql, [(new, image) for image, new in fresh.items()])


def count_photos(db: sqlite3.Connection) -> int:
    """Return how many images were enrolled as photos."""
    return db.execute("SELECT count(*) FROM photos").fetchone()[0] if has_photos(db) else 0


def landmarks_column(db: sqlite3.Connection, image: str) -> str:
    """Return the SQL of an image's landmarks: NULL for one that is no photo, empty if damaged.

    Args:
        db: The store.
        image: The SQL of its number.
    """
    if not has_photos(db):
        return "NULL"
    damaged = "CAST(f.landmarks AS TEXT) GLOB '*[^0-9. -]*'"
    known = f"CASE WHEN {damaged} THEN '' ELSE CAST(f.landmarks AS TEXT) END"
    return f"(SELECT {known} FROM photos f WHERE f.image = {image})"
