"""What a store says of itself: what it is bound to, and what is chosen for it."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facever.errors import GalleryError
from facever.gallery.records import Binding, Settings
from facever.gallery.store.coding import checked_storage
from facever.gallery.store.statements import stored_json
from facever.gallery.templates import checked_policy

_META = "what it says of itself is not usable"
_RESTORE = "restore it from a copy"


class Facts(NamedTuple):
    """What `meta` says in one generation."""

    gallery: str
    created: str
    generation: str
    audit_key: bytes
    binding: Binding
    settings: Settings


def facts_in(db: sqlite3.Connection, path: Path) -> Facts:
    """Read `meta`.

    Raises:
        GalleryError: Something is not there, or not what it must be.
    """
    try:
        said = {key: stored_json(value) for key, value in db.execute("SELECT * FROM meta")}
        facts = Facts(
            said["gallery"],
            said["created"],
            said["generation"],
            bytes.fromhex(said["audit_key"]),
            _binding(said),
            Settings(
                checked_policy(said["templates"]), checked_storage(said["storage"]), said["index"]
            ),
        )
        texts = (facts.gallery, facts.created, facts.generation, facts.settings.index)
        if not all(isinstance(value, str) for value in texts):
            raise TypeError("something is no text")
    except KeyError as error:
        raise GalleryError(f"{path} is damaged: it does not say its {error}") from error
    except (ValueError, TypeError, GalleryError) as error:
        raise GalleryError(f"{path} is damaged: {_META} ({error}); {_RESTORE}") from error
    return facts


def under_way(db: sqlite3.Connection, path: Path) -> Binding | None:
    """Return what a migration that has begun moves to, or None.

    Raises:
        GalleryError: What is said of it is damaged.
    """
    row = db.execute("SELECT value FROM meta WHERE key = 'migration'").fetchone()
    if row is None:
        return None
    try:
        return _binding(stored_json(row[0]))
    except (ValueError, TypeError, KeyError) as error:
        raise GalleryError(
            f"{path} is damaged: what it says of its migration is not usable ({error}); {_RESTORE}"
        ) from error


def _binding(said: Mapping[str, Any]) -> Binding:
    """Return a binding as it was written.

    Raises:
        KeyError, TypeError: It is damaged.
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
        raise TypeError("it does not say what it is bound to")
    return binding
