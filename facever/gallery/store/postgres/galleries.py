"""The galleries of a database: make one, open one, and upgrade the tables of an older format."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facever.errors import GalleryError
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.database import Damage, Transaction
from facever.gallery.store.facts import facts_in
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.postgres.connection import PostgresConnection
from facever.gallery.store.postgres.database import PostgresDatabase
from facever.gallery.store.postgres.errors import (
    explained,
    no_gallery,
    not_of_facever,
    require_utf8,
)
from facever.gallery.store.postgres.schema import ALL_GALLERIES, FORMAT, GALLERIES, make_tables
from facever.gallery.store.postgres.search_table import follow
from facever.gallery.store.postgres.session import connect

if TYPE_CHECKING:
    import psycopg

_LOCK = 0x46435652  # "FCVR": of those who make galleries


def make_gallery(
    address: GalleryAddress, begin: Callable[[StoreConnection], None], *, replace: bool = False
) -> None:
    """Make the schema and the tables of a new gallery, in one transaction.

    Args:
        address: Where it will be.
        begin: Writes the first rows.
        replace: Drop the gallery of this name.

    Raises:
        GalleryError: There is a gallery of this name, or the database cannot hold one.
    """
    with connect(address) as raw, explained(address.name, commits=True):
        raw.execute("BEGIN")
        raw.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        require_utf8(str(raw.info.parameter_status("server_encoding")), address)
        if replace:
            raw.execute(f"DROP SCHEMA IF EXISTS {address.schema} CASCADE".encode())
            raw.execute(f"DELETE FROM {GALLERIES} WHERE name = %s".encode(), [address.gallery])
        if _format_in(raw, address) is not None:
            raise GalleryError(f"{address.name} already exists; open it, or choose another name")
        if _value(raw, "SELECT to_regnamespace(%s) IS NOT NULL", address.schema):
            raise not_of_facever(address)
        if not _value(raw, "SELECT to_regnamespace('facever') IS NOT NULL"):
            raw.execute(ALL_GALLERIES.encode())
        raw.execute(f"CREATE SCHEMA {address.schema}".encode())
        raw.execute(f"SET LOCAL search_path TO {address.schema}".encode())
        db = PostgresConnection(raw)
        make_tables(db)
        _write_format(db, address)
        db.execute("INSERT INTO uses_key VALUES (?)", [secrets.token_bytes(32)])
        begin(db)
        follow(
            Transaction(db, address.name, Damage(address.name), lambda: facts_in(db, address.name))
        )
        raw.execute("COMMIT")


def open_gallery(
    address: GalleryAddress, wait: float, *, incomplete: bool = False
) -> PostgresDatabase:
    """Open a gallery; upgrade tables of an older format.

    Args:
        address: Where it is.
        wait: Seconds to wait for another writer.
        incomplete: It may be an incomplete copy, which is not upgraded.

    Raises:
        GalleryError: There is no such gallery, or it has a newer format, is incomplete, or cannot
            be opened.
    """
    with connect(address) as raw, explained(address.name, wait, reading=True):
        require_utf8(str(raw.info.parameter_status("server_encoding")), address)
        format_ = _format_in(raw, address)
    if format_ is None:
        raise no_gallery(address)
    if format_ > FORMAT:
        raise GalleryError(
            f"{address.name} has format {format_}, newer than this facever reads ({FORMAT}); "
            "update facever (pip install -U facever)"
        )
    database = PostgresDatabase(address, wait)
    try:
        if not incomplete:
            database.facts()
            if format_ < FORMAT:
                _upgrade(database, format_)
    except BaseException:
        database.close()
        raise
    return database


def has_gallery(address: GalleryAddress) -> bool:
    """Return whether there is a gallery of this name, complete or not.

    Raises:
        GalleryError: There is no connection, or the database is of another program.
    """
    with connect(address) as raw, explained(address.name, reading=True):
        return _format_in(raw, address) is not None


def _upgrade(database: PostgresDatabase, format_: int) -> None:
    if database.read_only:
        raise GalleryError(
            f"{database.name} has the older format {format_} and cannot be written by this user: "
            "to upgrade it, open it once as the owner of its tables"
        )
    with database.writing(much=True) as change:
        sql = f"SELECT format FROM {GALLERIES} WHERE name = ?"
        (now,) = change.first(sql, database.address.gallery)
        if now < FORMAT:  # no one else did meanwhile
            assert isinstance(change.db, PostgresConnection)
            make_tables(change.db, now)
            change.db.execute(
                f"UPDATE {GALLERIES} SET format = ? WHERE name = ?",
                [FORMAT, database.address.gallery],
            )


def _write_format(db: PostgresConnection, address: GalleryAddress) -> None:
    db.execute(f"INSERT INTO {GALLERIES} VALUES (?, ?)", [address.gallery, FORMAT])


def _format_in(raw: "psycopg.Connection", address: GalleryAddress) -> int | None:
    """Return the format of a gallery's tables; None if there is no such gallery.

    Raises:
        GalleryError: The schema `facever` is of another program.
    """
    if not _value(raw, "SELECT to_regnamespace('facever') IS NOT NULL"):
        return None
    if not _value(raw, "SELECT to_regclass(%s) IS NOT NULL", GALLERIES):
        raise not_of_facever(address)
    found = _value(raw, f"SELECT format FROM {GALLERIES} WHERE name = %s", address.gallery)
    return None if found is None else int(found)


def _value(raw: "psycopg.Connection", sql: str, *values: object) -> Any:
    row = raw.execute(sql.encode(), values).fetchone()
    return None if row is None else row[0]
