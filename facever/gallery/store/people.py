"""The rows of people: their ids and metadata, and the audit log of who was removed."""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from facever.core.text import canonical
from facever.errors import GalleryError, NotEnrolledError, TakenError
from facever.gallery.metadata import Conditions, fits, merged, metadata_in
from facever.gallery.records import PersonImages, person_id, shown, text
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Transaction, later, record

_ROWS_AT_ONCE = 4096
_NOTHING = "{}"  # metadata


# -- queries ------------------------------------------------------------------------------------


def key_of(db: StoreConnection, person: str) -> int:
    """Return a person's key."""
    known = known_as(db, [person])
    if not known:
        raise NotEnrolledError(f"no person {shown(person)} is enrolled")
    return next(iter(known.values()))[1]


def known_as(db: StoreConnection, people: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return stored ids and keys, by given id, of those who are enrolled.

    A person stored by an older version with an id in another form (`person_id`) is found by exactly
    that id.
    """
    forms = {text(given, "a person id"): canonical(given) for given in people}
    sql = "SELECT id, person FROM people WHERE id IN ({})"
    keys: dict[str, int] = dict(db.among(sql, sorted({*forms, *forms.values()})))
    found = {given: given if given in keys else kept for given, kept in forms.items()}
    return {given: (kept, keys[kept]) for given, kept in found.items() if kept in keys}


def people_after(
    read: Transaction, key: int, conditions: Conditions, most: int = _ROWS_AT_ONCE
) -> tuple[list[tuple[int, PersonImages]], int | None]:
    """Return the next people after a key who match a filter, with their keys, and the last key.

    The last key is None at the end.
    """
    condition, values = read.db.narrowed(conditions)
    sql = (
        "SELECT person, id, metadata, (SELECT count(*) FROM images i WHERE i.person = p.person)"
        f" FROM people p WHERE person > ? AND {condition} ORDER BY person LIMIT {most}"
    )
    rows = read.db.execute(sql, [key, *values]).fetchall()
    found = []
    for number, person, metadata, images in rows:
        known = _metadata_or_warning(read, person, metadata) if conditions else {}
        if _is_text(read, person) and (not conditions or fits(known, conditions)):
            found.append((number, PersonImages(person, images)))
    return found, rows[-1][0] if rows else None


def keys_matching(read: Transaction, conditions: Conditions) -> list[int]:
    """Return the keys, ascending, of the people who match a filter."""
    condition, values = read.db.narrowed(conditions)
    sql = f"SELECT person, id, metadata FROM people WHERE {condition} ORDER BY person"
    return [
        key
        for key, id_, known in read.db.execute(sql, values).fetchall()
        if fits(_metadata_or_warning(read, id_, known), conditions)
    ]


def metadata_of(db: StoreConnection, key: int) -> dict[str, Any]:
    """Return a person's metadata."""
    sql = "SELECT id, metadata FROM people WHERE person = ?"
    person, written = db.execute(sql, [key]).fetchone()
    known = metadata_in(written)
    if known is None:
        raise GalleryError(
            f"the metadata of {shown(str(person))} is damaged: it is not a JSON object; restore "
            "the "
            "gallery from a copy, or remove and enroll the person"
        )
    return known


def without_images(read: Transaction) -> dict[str, str]:
    """Return the metadata (JSON) of people without images, by id."""
    sql = "SELECT id, metadata FROM people WHERE person NOT IN (SELECT person FROM images)"
    rows = read.db.execute(f"{sql} ORDER BY person").fetchall()
    return {id_: whole_json(read, id_, known) for id_, known in rows if _is_text(read, id_)}


def whole_json(read: Transaction, person: object, written: str) -> str:
    """Return a person's metadata as JSON; if damaged, warn and return an empty object."""
    if written == _NOTHING:
        return written
    return written if _metadata_or_warning(read, person, written) else _NOTHING


def _metadata_or_warning(read: Transaction, person: object, written: object) -> dict[str, Any]:
    """Return a person's metadata; if damaged, warn and return none."""
    known = metadata_in(written)
    if known is None:
        read.damage.warn_once(
            f"the metadata of {shown(str(person))} is damaged: it is not a JSON object"
        )
    return known or {}


def _is_text(read: Transaction, person: object) -> bool:
    """Return whether a person's id is text; report one that is not."""
    if isinstance(person, str):
        return True
    read.damage.warn_once(f"a person's id is damaged: {shown(repr(person))} is not text")
    return False


# -- changes ------------------------------------------------------------------------------------


def add_people(db: StoreConnection, people: Sequence[str], time: str) -> int:
    """Add missing people, and return their number."""
    there = {person for (person,) in db.among("SELECT id FROM people WHERE id IN ({})", people)}
    new = [person for person in people if person not in there]
    if new:
        first = db.allot("people", len(new))
        rows = ((first + place, person, time) for place, person in enumerate(new))
        db.insert("people", ["person", "id", "created"], rows)
    return len(new)


def add_metadata(
    db: StoreConnection,
    keys: Mapping[str, int],
    metadata: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Add metadata to people by id; return whether any was added."""
    told = [person for person in sorted(keys) if metadata.get(person)]
    for person in told:
        write_metadata(
            db, keys[person], merged(person, metadata_of(db, keys[person]), metadata[person])
        )
    return bool(told)


def write_metadata(db: StoreConnection, key: int, metadata: Mapping[str, Any]) -> None:
    """Write a person's metadata, the result of `merged`."""
    db.execute("UPDATE people SET metadata = ? WHERE person = ?", [json.dumps(metadata), key])


def require_free(db: StoreConnection, person: str) -> str:
    """Return an id in stored form if it is free."""
    kept = person_id(person)
    if known_as(db, [kept]):
        raise TakenError(f"the id {shown(person)} is already taken")
    return kept


def add_person(db: StoreConnection, person: str) -> int:
    """Add a person with a free id, and return their key."""
    key = db.allot("people")
    db.insert("people", ["person", "id", "created"], [(key, person, later(db))])
    return key


def update_person(
    change: Transaction,
    person: str,
    metadata: Mapping[str, Any],
    remove_keys: Sequence[str],
    new_id: str | None,
) -> None:
    """Change a person's metadata or id."""
    db = change.db
    change.removes = bool(remove_keys)
    key = key_of(db, person)
    known = metadata_of(db, key)
    for name in remove_keys:
        if name not in known:
            raise GalleryError(f"{shown(person)} has no metadata {shown(name)}")
    kept = {name: value for name, value in known.items() if name not in remove_keys}
    write_metadata(db, key, merged(person, kept, metadata))
    number = record(db, "update", people=0, images=0)
    before = known_as(db, [person])[person][0]
    after = before if new_id is None else person_id(new_id)
    if after != before:
        require_free(db, after)
        db.execute("UPDATE people SET id = ? WHERE person = ?", [after, key])
        note_removal(change, number, "rename", {before: 0})


def mark_of(audit_key: bytes, person: str) -> str:
    """Return the keyed hash of a person's id for the audit log."""
    return hmac.digest(audit_key, text(person, "a person id").encode(), "sha256").hex()


def note_removal(change: Transaction, number: int, action: str, images: Mapping[str, int]) -> None:
    """Add the number of images removed by a change to the audit log, by person id."""
    change.removes = True
    time, key = later(change.db), change.facts().audit_key
    first = change.db.allot("audit", len(images))
    change.db.insert(
        "audit",
        ["entry", "time", "action", "person", "images", "change"],
        [
            (first + place, time, action, mark_of(key, person), count, number)
            for place, (person, count) in enumerate(images.items())
        ],
    )
