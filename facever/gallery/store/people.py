"""The rows of people: their ids and metadata, and the audit log of who was removed."""

import hmac
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from facever.core.text import canonical
from facever.errors import GalleryError
from facever.gallery.metadata import Conditions, fits, merged, metadata_in
from facever.gallery.records import PersonImages, person_id, shown, text
from facever.gallery.store.database import Transaction, among, later, record

_ROWS_AT_ONCE = 4096
_NOTHING = "{}"  # metadata


# -- questions ----------------------------------------------------------------------------------


def key_of(db: sqlite3.Connection, person: str) -> int:
    """Return a person's key."""
    known = known_as(db, [person])
    if not known:
        raise GalleryError(f"nobody is enrolled as {shown(person)}")
    return next(iter(known.values()))[1]


def known_as(db: sqlite3.Connection, people: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return, by the ids given, the ids as they are kept and the keys of those who are enrolled.

    People whom an older version kept under an id that is written otherwise (`person_id`) are found
    by exactly that one.
    """
    forms = {text(given, "a person id"): canonical(given) for given in people}
    sql = "SELECT id, person FROM people WHERE id IN ({})"
    keys: dict[str, int] = dict(among(db, sql, sorted({*forms, *forms.values()})))
    found = {given: given if given in keys else kept for given, kept in forms.items()}
    return {given: (kept, keys[kept]) for given, kept in found.items() if kept in keys}


def people_after(
    read: Transaction, key: int, conditions: Conditions
) -> tuple[list[PersonImages], int | None]:
    """Return the next people after a key who match a filter, and the key to go on after.

    It is None when there are no more people.
    """
    condition, values = _narrowed(conditions)
    sql = (
        "SELECT person, id, metadata, (SELECT count(*) FROM images i WHERE i.person = p.person)"
        f" FROM people p WHERE person > ? AND {condition} ORDER BY person LIMIT {_ROWS_AT_ONCE}"
    )
    rows = read.db.execute(sql, [key, *values]).fetchall()
    found = []
    for _, person, metadata, images in rows:
        known = _metadata_or_warning(read, person, metadata) if conditions else {}
        if _is_text(read, person) and (not conditions or fits(known, conditions)):
            found.append(PersonImages(person, images))
    return found, rows[-1][0] if rows else None


def keys_matching(read: Transaction, conditions: Conditions) -> list[int]:
    """Return the keys, ascending, of the people who match a filter."""
    condition, values = _narrowed(conditions)
    sql = f"SELECT person, id, metadata FROM people WHERE {condition} ORDER BY person"
    return [
        key
        for key, id_, known in read.db.execute(sql, values).fetchall()
        if fits(_metadata_or_warning(read, id_, known), conditions)
    ]


def _narrowed(conditions: Conditions) -> tuple[str, list[str]]:
    """Return a condition in SQL, and its values, that everybody who matches a filter fulfils.

    Metadata is JSON as Python writes it, so a key or text is in it as Python writes that. Texts
    that may be there as a number or a boolean narrow nothing.
    """
    parts, values = ["1"], []
    for key, wanted in conditions.items():
        parts.append("instr(metadata, ?)")
        values.append(f"{json.dumps(key)}: ")
        if all(isinstance(value, str) and not _is_plain_value(value) for value in wanted):
            parts.append(f"({' OR '.join(['0', *['instr(metadata, ?)'] * len(wanted)])})")
            values += [f"{json.dumps(value)}" for value in wanted]
    return " AND ".join(parts), values


def _is_plain_value(text_: str) -> bool:
    """Return whether a number or a boolean may be written so by `text_of`."""
    try:
        float(text_)
    except ValueError:
        return text_ in ("True", "False")
    return True


def metadata_of(db: sqlite3.Connection, key: int) -> dict[str, Any]:
    """Return a person's metadata."""
    sql = "SELECT id, metadata FROM people WHERE person = ?"
    person, written = db.execute(sql, [key]).fetchone()
    known = metadata_in(written)
    if known is None:
        raise GalleryError(
            f"the metadata of {shown(str(person))} is damaged: it is no JSON object; restore the "
            "gallery from a copy, or remove and enroll the person"
        )
    return known


def without_images(read: Transaction) -> dict[str, str]:
    """Return the metadata, as JSON, of the people who have no image, by their ids."""
    sql = "SELECT id, metadata FROM people WHERE person NOT IN (SELECT person FROM images)"
    rows = read.db.execute(f"{sql} ORDER BY person").fetchall()
    return {id_: whole_json(read, id_, known) for id_, known in rows if _is_text(read, id_)}


def whole_json(read: Transaction, person: object, written: str) -> str:
    """Return a person's metadata as JSON; an empty object, with a warning, where damaged."""
    if written == _NOTHING:
        return written
    return written if _metadata_or_warning(read, person, written) else _NOTHING


def _metadata_or_warning(read: Transaction, person: object, written: object) -> dict[str, Any]:
    """Return a person's metadata; none, with a warning, where it is damaged."""
    known = metadata_in(written)
    if known is None:
        read.damage.warn_once(
            f"the metadata of {shown(str(person))} is damaged: it is no JSON object"
        )
    return known or {}


def _is_text(read: Transaction, person: object) -> bool:
    """Return whether a person's id is a text; one that is not is named."""
    if isinstance(person, str):
        return True
    read.damage.warn_once(f"a person's id is damaged: {shown(repr(person))} is no text")
    return False


# -- changes ------------------------------------------------------------------------------------


def add_people(db: sqlite3.Connection, people: Sequence[str], time: str) -> int:
    """Add the people who are not there yet, and return how many these are."""
    before = db.total_changes
    db.executemany(
        "INSERT OR IGNORE INTO people (id, created) VALUES (?, ?)",
        ((person, time) for person in people),
    )
    return db.total_changes - before


def add_metadata(
    db: sqlite3.Connection,
    keys: Mapping[str, int],
    metadata: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Add to the metadata of people who have a key, by their ids; return whether there is any."""
    told = [person for person in sorted(keys) if metadata.get(person)]
    for person in told:
        write_metadata(
            db, keys[person], merged(person, metadata_of(db, keys[person]), metadata[person])
        )
    return bool(told)


def write_metadata(db: sqlite3.Connection, key: int, metadata: Mapping[str, Any]) -> None:
    """Write a person's metadata; it is `merged`."""
    db.execute("UPDATE people SET metadata = ? WHERE person = ?", [json.dumps(metadata), key])


def require_free(db: sqlite3.Connection, person: str) -> str:
    """Return an id as it is kept, when nobody has it."""
    kept = person_id(person)
    if known_as(db, [kept]):
        raise GalleryError(f"somebody is enrolled as {shown(person)} already")
    return kept


def add_person(db: sqlite3.Connection, person: str) -> int:
    """Add a person under an id that nobody has, and return their key."""
    db.execute("INSERT INTO people (id, created) VALUES (?, ?)", [person, later(db)])
    return key_of(db, person)


def update_person(
    change: Transaction,
    person: str,
    metadata: Mapping[str, Any],
    remove_keys: Sequence[str],
    new_id: str | None,
) -> None:
    """Change a person's metadata, or their id."""
    db = change.db
    change.removes = bool(remove_keys)
    key = key_of(db, person)
    known = metadata_of(db, key)
    for name in remove_keys:
        if name not in known:
            raise GalleryError(f"nothing is known of {shown(person)} under {shown(name)}")
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
    """Return what stands for a person's id in the audit log."""
    return hmac.digest(audit_key, text(person, "a person id").encode(), "sha256").hex()


def note_removal(change: Transaction, number: int, action: str, images: Mapping[str, int]) -> None:
    """Add to the audit log how many images were removed with a change, by person id."""
    change.removes = True
    time, key = later(change.db), change.facts().audit_key
    change.db.executemany(
        "INSERT INTO audit (time, action, person, images, change) VALUES (?, ?, ?, ?, ?)",
        [(time, action, mark_of(key, person), count, number) for person, count in images.items()],
    )
