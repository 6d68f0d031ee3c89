"""The tables of a store in SQLite.

Every transaction that changes readable data adds one row to `changes`. Its number is ascending, and
its random stamp distinguishes it from the change of the same number in another copy of the store.

A search compares with *entries*: the images, or the rows of `templates` if the policy makes
templates of a person's images. Their numbers are never reused, so that "all entries after number n"
are the additions since, and `removed` lists the removed ones. If all entries are replaced, the
generation in `meta` changes and `removed` is emptied.

The checksums of vectors are in separate tables (`vectors.py`): adding them to a gallery of a
million images writes some megabytes instead of every vector again.
"""

from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.facts import new_facts, write_facts

APPLICATION_ID = 0x46435652  # "FCVR"
FORMAT = 5

_FROM_THE_BEGINNING = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE changes (
    change INTEGER PRIMARY KEY AUTOINCREMENT,
    stamp TEXT NOT NULL,
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    people INTEGER NOT NULL,
    images INTEGER NOT NULL
);

CREATE TABLE people (
    person INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    metadata TEXT NOT NULL DEFAULT '{}',
    created TEXT NOT NULL
);

CREATE TABLE images (
    image INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    source TEXT,
    hash TEXT,
    enrolled TEXT NOT NULL,
    norm REAL,
    vector BLOB NOT NULL
);
CREATE INDEX images_by_person ON images (person);
CREATE INDEX images_by_hash ON images (hash) WHERE hash IS NOT NULL;
CREATE INDEX images_by_source ON images (source) WHERE source IS NOT NULL;

CREATE TABLE removed (
    image INTEGER PRIMARY KEY,
    change INTEGER NOT NULL REFERENCES changes (change)
);
CREATE INDEX removed_by_change ON removed (change);

CREATE TABLE operating_points (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    point TEXT NOT NULL,
    added TEXT NOT NULL
);
"""

_SINCE_FORMAT_2 = """
ALTER TABLE images ADD COLUMN quality REAL;
ALTER TABLE removed RENAME COLUMN image TO entry;

CREATE TABLE templates (
    template INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER NOT NULL REFERENCES people (person) ON DELETE CASCADE,
    vector BLOB NOT NULL
);
CREATE INDEX templates_by_person ON templates (person);

CREATE TABLE calibrations (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    calibration TEXT NOT NULL,
    added TEXT NOT NULL
);

CREATE TABLE audit (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    person TEXT NOT NULL,
    images INTEGER NOT NULL,
    change INTEGER NOT NULL REFERENCES changes (change)
);
CREATE INDEX audit_by_person ON audit (person);

CREATE TABLE migrated (
    image INTEGER PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    norm REAL,
    vector BLOB NOT NULL
);
"""

_SINCE_FORMAT_3 = """
CREATE TABLE image_checksums (
    image INTEGER PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    checksum INTEGER NOT NULL
);

CREATE TABLE template_checksums (
    template INTEGER PRIMARY KEY REFERENCES templates (template) ON DELETE CASCADE,
    checksum INTEGER NOT NULL
);

ALTER TABLE operating_points ADD COLUMN checksum INTEGER;
ALTER TABLE calibrations ADD COLUMN checksum INTEGER;

CREATE TABLE migrated_checksums (
    image INTEGER PRIMARY KEY REFERENCES migrated (image) ON DELETE CASCADE,
    checksum INTEGER NOT NULL
);
"""

_SINCE_FORMAT_4 = """
ALTER TABLE images ADD COLUMN camera TEXT;
ALTER TABLE images ADD COLUMN taken TEXT;
CREATE INDEX images_by_camera ON images (camera, taken, person) WHERE camera IS NOT NULL;
CREATE INDEX images_by_time ON images (taken, person) WHERE taken IS NOT NULL;
"""

_SINCE_FORMAT_5 = """
CREATE TABLE crops (
    image INTEGER PRIMARY KEY REFERENCES images (image) ON DELETE CASCADE,
    alignment TEXT NOT NULL,
    png BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE INDEX crops_by_checksum ON crops (checksum);
"""  # the index is small: rows are counted without reading the crops

_SCRIPTS = (
    _FROM_THE_BEGINNING,
    _SINCE_FORMAT_2,
    _SINCE_FORMAT_3,
    _SINCE_FORMAT_4,
    _SINCE_FORMAT_5,
)
"""What each format adds to the one before."""


def make_tables(db: StoreConnection, format_: int = 0) -> None:
    """Create the tables that a store of an older format does not have.

    Args:
        db: A connection in a transaction.
        format_: Format of the store; 0 for an empty file.
    """
    for statement in "".join(_SCRIPTS[format_:]).split(
        ";"
    ):  # executescript would end the transaction
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {FORMAT}")
    if format_ == 1:
        write_facts(db, new_facts())
