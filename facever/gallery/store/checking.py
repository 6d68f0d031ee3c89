"""Whether a store holds what it must: every row of it is looked at."""

import json
import sqlite3
from collections.abc import Iterator

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import Finding
from facever.gallery.store.coding import bytes_of, decoded, first_damaged
from facever.gallery.store.deriving import entry_table, made
from facever.gallery.store.purging import Purging
from facever.gallery.templates import ALL, checked_policy

_ROWS_AT_ONCE = 4096
_TOLERANCE = {"float32": 1e-5, "float16": 1e-3, "int8": 1e-2}  # of a template's values


class Checking(Purging):
    """What is wrong with a store."""

    def check(self) -> Iterator[Finding]:
        """Yield what is wrong, as far as it can be read."""
        try:
            with self.reading() as db:
                yield from _check_file(db)
                yield from _check_people(db)
                whole = True
                for table, name in (("images", "image"), ("templates", "template")):
                    for finding in self._check_vectors(db, table, name):
                        whole = False
                        yield finding
                if whole:
                    yield from self._check_templates(db)
                table, name = entry_table(self.settings)
                sql = f"SELECT count(*) FROM removed JOIN {table} ON {name} = entry"
                if count := db.execute(sql).fetchone()[0]:
                    yield Finding("store", f"{count} {table} are there and noted as removed")
        except GalleryError as error:
            yield Finding("store", str(error))

    def _check_vectors(self, db: sqlite3.Connection, table: str, name: str) -> Iterator[Finding]:
        storage, dimension = self.settings.storage, self.binding.dimension
        size = bytes_of(storage, dimension)
        lengths = f"SELECT count(*), min({name}) FROM {table} WHERE length(vector) != ?"
        count, first = db.execute(lengths, [size]).fetchone()
        if count:
            yield Finding(
                "store",
                f"{count} {table} have a vector that is not of dimension {dimension}, the first "
                f"is {name} {first}",
            )
        sql = (
            f"SELECT {name}, vector FROM {table} WHERE {name} > ? AND length(vector) = ?"
            f" ORDER BY {name} LIMIT {_ROWS_AT_ONCE}"
        )
        last = 0
        while rows := db.execute(sql, [last, size]).fetchall():
            numbers, blobs = zip(*rows, strict=True)
            last = numbers[-1]
            wrong = first_damaged(blobs, storage, dimension)
            if wrong is not None:
                yield Finding("store", f"the vector of {name} {numbers[wrong]} is not of length 1")
                return

    def _check_templates(self, db: sqlite3.Connection) -> Iterator[Finding]:
        settings, dimension = self.settings, self.binding.dimension
        if settings.templates == ALL:
            if count := db.execute("SELECT count(*) FROM templates").fetchone()[0]:
                yield Finding("templates", f"there are {count} where images are compared")
            return
        checked_policy(settings.templates)
        keys = [key for (key,) in db.execute("SELECT DISTINCT person FROM images")]
        extra = "SELECT count(*) FROM templates WHERE person NOT IN (SELECT person FROM images)"
        if count := db.execute(extra).fetchone()[0]:
            yield Finding("templates", f"{count} are of people without images")
        sql = "SELECT vector FROM templates WHERE person = ? ORDER BY template"
        wrong = 0
        for owners, templates in made(db, settings, dimension, keys):
            for key in np.unique(owners).tolist():
                blobs = [blob for (blob,) in db.execute(sql, [key])]
                there, wanted = (
                    decoded(blobs, settings.storage, dimension),
                    templates[owners == key],
                )
                wrong += there.shape != wanted.shape or not np.allclose(
                    there, wanted, rtol=0, atol=_TOLERANCE[settings.storage]
                )
        if wrong:
            yield Finding("templates", f"those of {wrong} people are not what their images make")


def _check_file(db: sqlite3.Connection) -> Iterator[Finding]:
    for (line,) in db.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("store", f"SQLite says: {' '.join(line.split())}")
    tables = [row[0] for row in db.execute("PRAGMA foreign_key_check")]
    for table in sorted(set(tables)):
        count = tables.count(table)
        yield Finding("store", f"{count} rows of {table} refer to rows that are not there")


def _check_people(db: sqlite3.Connection) -> Iterator[Finding]:
    wrong = 0
    for (metadata,) in db.execute("SELECT metadata FROM people"):
        try:
            wrong += not isinstance(json.loads(metadata), dict)
        except ValueError:
            wrong += 1
    if wrong:
        yield Finding("store", f"the metadata of {wrong} people cannot be read")
