"""Statements that the store's transactions are made of, and SQLite's errors in plain words."""

import json
import reprlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from facever.errors import GalleryError
from facever.gallery.records import Duplicate, NewImages, shown, text

T = TypeVar("T")

_PARAMETERS_AT_ONCE = 10_000


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(db: sqlite3.Connection) -> str:
    """Return the time, or that of the newest change where the clock says an earlier one."""
    newest = db.execute("SELECT time FROM changes ORDER BY change DESC LIMIT 1").fetchone()
    return max(now(), newest[0]) if newest else now()


@contextmanager
def explained(path: Path, wait: float = 0) -> Iterator[None]:
    """Turn SQLite's errors into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        reasons = {
            sqlite3.SQLITE_BUSY: f"another process is writing to it (waited {wait:g} s); try again",
            sqlite3.SQLITE_READONLY: "it cannot be written by this user",
            sqlite3.SQLITE_CANTOPEN: "it or its folder cannot be read and written by this user",
            sqlite3.SQLITE_FULL: "the disk is full; nothing was changed",
            sqlite3.SQLITE_IOERR: "the disk reports an error; nothing was changed",
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
    row = db.execute(
        "SELECT person FROM people WHERE id = ?", [text(person, "a person id")]
    ).fetchone()
    if row is None:
        raise GalleryError(f"nobody is enrolled as {shown(person)}")
    return int(row[0])


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
    row = db.execute("SELECT metadata FROM people WHERE person = ?", [key]).fetchone()
    return dict(json.loads(row[0]))


def merged(known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known with what is added.

    Raises:
        GalleryError: What is added is not keys with values.
    """
    if not isinstance(added, Mapping):
        raise GalleryError(
            f"metadata of a person is keys with values, such as site=A, not {reprlib.repr(added)}"
        )
    return {**known, **added}


def write_metadata(db: sqlite3.Connection, key: int, metadata: Mapping[str, Any]) -> None:
    """Write what is known of a person.

    Raises:
        GalleryError: A key that is no text, or a value that JSON or UTF-8 cannot hold.
    """
    try:
        for name in metadata:
            text(name, "a key of metadata")
        written = json.dumps(metadata, allow_nan=False)
        json.dumps(metadata, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (TypeError, ValueError, RecursionError, GalleryError) as error:
        person = db.execute("SELECT id FROM people WHERE person = ?", [key]).fetchone()[0]
        raise GalleryError(f"metadata of {shown(person)} cannot be kept: {error}") from error
    db.execute("UPDATE people SET metadata = ? WHERE person = ?", [written, key])


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
