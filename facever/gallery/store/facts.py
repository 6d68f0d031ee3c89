"""The facts of a store: the rows of its table `meta`."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from facever.errors import GalleryError
from facever.gallery.metadata import stored_json
from facever.gallery.records import Binding, Equivalence, Settings
from facever.gallery.storage import checked_storage
from facever.gallery.store.connection import StoreConnection
from facever.gallery.templates import checked_policy

_META = "its table of facts cannot be used"
_RESTORE = "restore it from a copy"

COPY = "copy"
"""The only fact of an incomplete copy: of which state it is. See `copies`."""
SEARCH = "search"
"""The fact that names the table that PostgreSQL searches; it is derived from the entries."""


def new_facts() -> dict[str, Any]:
    """Return the facts that a gallery has beside its binding, with their defaults."""
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


def write_facts(db: StoreConnection, facts: Mapping[str, Any]) -> None:
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


def facts_in(db: StoreConnection, name: str) -> StoreFacts:
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
                checked_policy(said["templates"]),
                checked_storage(said["storage"]),
                said["index"],
                said.get("keep_crops", False),
            ),
            _equivalents(said),
        )
        texts = (facts.gallery, facts.created, facts.generation, facts.settings.index)
        if not all(isinstance(value, str) for value in texts):
            raise TypeError("a value is not text")
        if not isinstance(facts.settings.keep_crops, bool):
            raise TypeError("keep_crops is neither true nor false")
    except KeyError as error:
        if COPY in said:
            raise GalleryError(
                f"{name} is an incomplete copy of a gallery: resume it with 'facever gallery copy "
                "FROM TO'"
            ) from error
        raise GalleryError(f"{name} is damaged: its table of facts lacks {error}") from error
    except (ValueError, TypeError, GalleryError) as error:
        raise GalleryError(f"{name} is damaged: {_META} ({error}); {_RESTORE}") from error
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


def under_way(db: StoreConnection, name: str) -> Binding | None:
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
            f"{name} is damaged: the record of its migration cannot be used ({error}); {_RESTORE}"
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
