"""The tables of a gallery's store.

Every transaction that changes anything adds one row to `changes`; its number only grows, and its
random stamp tells it from the change of the same number in another copy of the store. Image numbers
are never used twice, so that "all images after number n" are the additions since, and `removed`
names those that went.
"""

APPLICATION_ID = 0x46435652  # "FCVR"
FORMAT = 1

SCHEMA = """
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
