"""Statements that the store's transactions are made of, and SQLite's errors in plain words."""

import json
import re
import reprlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from facever.core.json_files import parse_json
from facever.core.text import canonical
from facever.errors import GalleryError
from facever.gallery.records import Duplicate, NewImages, shown, text

T = TypeVar("T")

_PARAMETERS_AT_ONCE = 10_000
_MANY_DIGITS = re.compile(r"\d{19,}")


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(db: sqlite3.Connection) -> str:
    """Return the time, or that of the newest change where the clock says an earlier one."""
    newest = db.execute("SELECT time FROM changes ORDER BY change DESC LIMIT 1").fetchone()
    return max(now(), newest[0]) if newest else now()


@contextmanager
def explained(path: Path, wait: float = 0, *, reading: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into one line that says what to do."""
    unchanged = "" if reading else "; nothing was changed"
    try:
        yield
    except sqlite3.Error as error:
        reasons = {
            sqlite3.SQLITE_BUSY: f"another process is writing to it (waited {wait:g} s); try again",
            sqlite3.SQLITE_READONLY: "it cannot be written by this user",
            sqlite3.SQLITE_CANTOPEN: "it or its folder cannot be read and written by this user",
            sqlite3.SQLITE_FULL: f"the disk is full{unchanged}",
            sqlite3.SQLITE_IOERR: f"the disk reports an error{unchanged}",
            sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a copy",
            sqlite3.SQLITE_NOTADB: "it is not an SQLite file; restore it from a copy",
        }
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise GalleryError(f"{path}: {reasons.get(code, error)}") from error


def among(
    db: sqlite3.Connection, sql: str, values: Sequence[int] | Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement with `IN ({})` for any number of values."""
    for start in range(0, len(values), _PARAMETERS_AT_ONCE):
        some = values[start : start + _PARAMETERS_AT_ONCE]
        yield from db.execute(sql.format(",".join("?" * len(some))), some)


def record(db: sqlite3.Connection, action: str, *, people: int, images: int) -> int:
    """Add a row to the log of changes and return its number."""
    cursor = db.execute(
        "INSERT INTO changes (stamp, time, action, people, images) VALUES (?, ?, ?, ?, ?)",
        [secrets.token_hex(8), later(db), action, people, images],
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def each(
    db: sqlite3.Connection, sql: str, values: Sequence[int] | Sequence[str], *first: object
) -> None:
    """Run a statement with `IN ({})` for any number of values, which come after `first`."""
    for start in range(0, len(values), _PARAMETERS_AT_ONCE):
        some = values[start : start + _PARAMETERS_AT_ONCE]
        db.execute(sql.format(",".join("?" * len(some))), [*first, *some])


def several(values: Sequence[T], what: str) -> Sequence[T]:
    """Return values that are given as a list, not as one text, whose letters would be taken.

    Raises:
        GalleryError: It is one text.
    """
    if isinstance(values, (str, bytes)):
        raise GalleryError(f"{what} are given as a list, such as [{reprlib.repr(values)}]")
    return values


def key_of(db: sqlite3.Connection, person: str) -> int:
    """Return a person's key.

    Raises:
        GalleryError: Nobody is enrolled under that id.
    """
    known = known_as(db, [person])
    if not known:
        raise GalleryError(f"nobody is enrolled as {shown(person)}")
    return next(iter(known.values()))[1]


def known_as(db: sqlite3.Connection, people: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return, by the ids given, the ids as they are kept and the keys of those who are enrolled.

    People whom an older version kept under an id that is written otherwise (`person_id`) are found
    by exactly that one.

    Raises:
        GalleryError: An id that is no text.
    """
    forms = {text(given, "a person id"): canonical(given) for given in people}
    sql = "SELECT id, person FROM people WHERE id IN ({})"
    keys: dict[str, int] = dict(among(db, sql, sorted({*forms, *forms.values()})))
    found = {given: given if given in keys else kept for given, kept in forms.items()}
    return {given: (kept, keys[kept]) for given, kept in found.items() if kept in keys}


def images_named(
    db: sqlite3.Connection, key: int, person: str, named: Sequence[str | int]
) -> list[int]:
    """Return the numbers of images of a person, ascending, by their sources or numbers.

    Raises:
        GalleryError: The person has no such image.
    """
    own = db.execute("SELECT image, source FROM images WHERE person = ?", [key]).fetchall()
    images: set[int] = set()
    for wanted in named:
        at = 1 if isinstance(wanted, str) else 0
        found = {row[0] for row in own if row[at] == wanted}
        if not found or isinstance(wanted, bool):
            name = f"from {shown(wanted)}" if isinstance(wanted, str) else f"number {wanted}"
            raise GalleryError(f"{shown(person)} has no image {name}")
        images |= found
    return sorted(images)


def metadata_of(db: sqlite3.Connection, key: int) -> dict[str, Any]:
    """Return what is known of a person."""
    person, written = db.execute(
        "SELECT id, metadata FROM people WHERE person = ?", [key]
    ).fetchone()
    known = metadata_in(written)
    if known is None:
        raise GalleryError(
            f"the metadata of {shown(str(person))} is damaged: it is no JSON object; restore the "
            "gallery from a copy, or remove and enroll the person"
        )
    return known


def metadata_in(written: object) -> dict[str, Any] | None:
    """Return what is known of a person, from its JSON; None where that is damaged."""
    try:
        known = stored_json(written)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def stored_json(written: object) -> Any:
    """Return the value of a JSON text in a store.

    Raises:
        ValueError: No text, no JSON, or nested deeper than `parse_json` allows.
    """
    if not isinstance(written, str):
        raise ValueError("it is no text")
    parse_json(_MANY_DIGITS.sub("0", written))  # earlier versions kept integers of any size
    return json.loads(written)


def merged(person: str, known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known with what is added.

    Raises:
        GalleryError: What is added is not keys with values, a key is no text, or JSON (as
            `parse_json` reads it) or UTF-8 cannot hold a value.
    """
    if not isinstance(added, Mapping):
        raise GalleryError(
            f"metadata of a person is keys with values, such as site=A, not {reprlib.repr(added)}"
        )
    try:
        for name in added:
            text(name, "a key of metadata")
        parse_json(json.dumps(added, allow_nan=False))
        json.dumps(added, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (TypeError, ValueError, RecursionError, GalleryError) as error:
        raise GalleryError(f"metadata of {shown(person)} cannot be kept: {error}") from error
    return {**known, **added}


def write_metadata(db: sqlite3.Connection, key: int, metadata: Mapping[str, Any]) -> None:
    """Write what is known of a person; it is `merged`."""
    db.execute("UPDATE people SET metadata = ? WHERE person = ?", [json.dumps(metadata), key])


def find_duplicates(db: sqlite3.Connection, images: NewImages) -> Iterator[Duplicate]:
    """Yield the images that are in the store already, or twice among those given.

    Images are the same when their hashes are; where either has none, when their sources are.
    """
    sql = "SELECT i.{0}, i.hash, p.id FROM images i JOIN people p USING (person) WHERE i.{0} IN "
    hashes = [value for value in images.hashes if value is not None]
    sources = [value for value in images.sources if value is not None]
    by_hash = {found: person for found, _, person in among(db, sql.format("hash") + "({})", hashes)}
    by_source: dict[str, list[tuple[str | None, str]]] = {}
    for found, hash_, person in among(db, sql.format("source") + "({})", sources):
        by_source.setdefault(found, []).append((hash_, person))
    for index, (person, source, hash_) in enumerate(
        zip(images.people, images.sources, images.hashes, strict=True)
    ):
        known_as = by_hash.get(hash_) if hash_ is not None else None
        if known_as is None and source is not None:
            same = (p for h, p in by_source.get(source, ()) if h is None or hash_ is None)
            known_as = next(same, None)
        if known_as is not None:
            yield Duplicate(index, person, known_as, source)
            continue
        if hash_ is not None:
            by_hash[hash_] = person
        if source is not None:
            by_source.setdefault(source, []).append((hash_, person))
