"""The tables of a store, and the facts in its table `meta`.

Every transaction that changes readable data adds one row to `changes`. Its number is ascending, and
its random stamp distinguishes it from the change of the same number in another copy of the store.

A search compares with *entries*: the images, or the rows of `templates` if the policy makes
templates of a person's images. Their numbers are never reused, so that "all entries after number n"
are the additions since, and `removed` lists the removed ones. If all entries are replaced, the
generation in `meta` changes and `removed` is emptied.

The checksums of vectors are in separate tables (`vectors.py`): adding them to a gallery of a
million images writes some megabytes instead of every vector again.
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facever.errors import GalleryError
from facever.gallery.metadata import stored_json
from facever.gallery.records import Binding, Equivalence, Settings
from facever.gallery.storage import checked_storage
from facever.gallery.templates import checked_policy

APPLICATION_ID = 0x46435652  # "FCVR"
FORMAT = 3

_META = "its table of facts cannot be used"
_RESTORE = "restore it from a copy"

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


def make_tables(db: sqlite3.Connection, format_: int = 0) -> None:
    """Create the tables that a store of an older format does not have.

    Args:
        db: A connection in a transaction.
        format_: Format of the store; 0 for an empty file.
    """
    scripts = [_FROM_THE_BEGINNING, _SINCE_FORMAT_2, _SINCE_FORMAT_3][format_:]
    for statement in "".join(scripts).split(";"):  # executescript would end the transaction
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {FORMAT}")
    if format_ == 1:
        write_facts(db, new_facts())


def new_facts() -> dict[str, Any]:
    """Return the facts that are new in format 2, with their defaults."""
    return {
        "generation": new_generation(),
        "templates": "all",
        "storage": "float32",
        "index": "auto",
        "audit_key": secrets.token_hex(32),
    }


def new_generation() -> str:
    """Return a new unique stamp of a generation of entries."""
    return secrets.token_hex(8)


def write_facts(db: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    """Write rows of `meta`, replacing those of the same names."""
    db.executemany(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [(key, json.dumps(value, allow_nan=False)) for key, value in facts.items()],
    )


class StoreFacts(NamedTuple):
    """The contents of `meta` in one generation."""

    gallery: str
    created: str
    generation: str
    audit_key: bytes
    binding: Binding
    settings: Settings
    equivalents: Mapping[str, Equivalence]


def facts_in(db: sqlite3.Connection, path: Path) -> StoreFacts:
    """Read `meta`.

    Raises:
        GalleryError: A row is missing or invalid.
    """
    try:
        said = {key: stored_json(value) for key, value in db.execute("SELECT * FROM meta")}
        facts = StoreFacts(
            said["gallery"],
            said["created"],
            said["generation"],
            bytes.fromhex(said["audit_key"]),
            _binding(said),
            Settings(
                checked_policy(said["templates"]), checked_storage(said["storage"]), said["index"]
            ),
            _equivalents(said),
        )
        texts = (facts.gallery, facts.created, facts.generation, facts.settings.index)
        if not all(isinstance(value, str) for value in texts):
            raise TypeError("a value is not text")
    except KeyError as error:
        raise GalleryError(f"{path} is damaged: its table of facts lacks {error}") from error
    except (ValueError, TypeError, GalleryError) as error:
        raise GalleryError(f"{path} is damaged: {_META} ({error}); {_RESTORE}") from error
    return facts


def _equivalents(said: Mapping[str, Any]) -> dict[str, Equivalence]:
    """Return the accepted equivalents of the gallery's model by their fingerprints.

    Raises:
        TypeError: The record is damaged.
    """
    found = [Equivalence(**one) for one in said.get("equivalents", [])]
    if any(not isinstance(one.fingerprint, str) for one in found):
        raise TypeError("an equivalent model has no fingerprint")
    return {one.fingerprint: one for one in found if one.of == said["fingerprint"]}


def under_way(db: sqlite3.Connection, path: Path) -> Binding | None:
    """Return the binding of a migration that has begun, or None.

    Raises:
        GalleryError: The record of the migration is damaged.
    """
    row = db.execute("SELECT value FROM meta WHERE key = 'migration'").fetchone()
    if row is None:
        return None
    try:
        return _binding(stored_json(row[0]))
    except (ValueError, TypeError, KeyError) as error:
        raise GalleryError(
            f"{path} is damaged: the record of its migration cannot be used ({error}); {_RESTORE}"
        ) from error


def _binding(said: Mapping[str, Any]) -> Binding:
    """Return a binding from its stored form.

    Raises:
        KeyError, TypeError: The stored form is damaged.
    """
    binding = Binding(**{name: said[name] for name in Binding.__dataclass_fields__})
    texts = (binding.fingerprint, binding.metric)
    maps = (binding.preprocessing, binding.options)
    whole = isinstance(binding.dimension, int) and binding.dimension > 0
    if not (
        whole
        and all(isinstance(value, str) for value in texts)
        and all(isinstance(value, dict) for value in maps)
    ):
        raise TypeError("the binding is missing")
    return binding
