"""Problems of a store: checks of every row."""

from collections.abc import Iterator

import numpy as np

from facever.gallery.metadata import metadata_in
from facever.gallery.records import Finding, shown
from facever.gallery.storage import decoded
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.crops import damaged_crops
from facever.gallery.store.database import Transaction
from facever.gallery.store.entries import made_templates
from facever.gallery.store.facts import under_way
from facever.gallery.store.vectors import (
    IMAGES,
    MIGRATED,
    TEMPLATES,
    VectorTable,
    described,
    entry_table,
    pages,
)
from facever.gallery.templates import ALL, checked_policy

_TOLERANCE = {"float32": 1e-5, "float16": 1e-3, "int8": 1e-2}  # of a template's values
_MOST = 100  # findings of one kind that are listed; of more, only the number


def findings(read: Transaction) -> Iterator[Finding]:
    """Yield the problems of a store."""
    db = read.db
    yield from (Finding("store", problem) for problem in db.problems())
    yield from _check_people(db)
    settings, whole = read.facts().settings, True
    templates = () if settings.templates == ALL else (TEMPLATES,)
    for table in (IMAGES, *templates, MIGRATED):
        for finding in _check_vectors(read, table):
            whole = False
            yield finding
    if whole:
        yield from _check_templates(read)
    yield from _check_crops(read)
    table = entry_table(settings)
    sql = f"SELECT count(*) FROM removed JOIN {table.name} ON {table.number} = entry"
    if count := db.execute(sql).fetchone()[0]:
        yield Finding("store", f"{count} {table.name} exist, but are recorded as removed")


def _check_vectors(read: Transaction, table: VectorTable) -> Iterator[Finding]:
    db, facts = read.db, read.facts()
    storage, dimension = facts.settings.storage, facts.binding.dimension
    part = "templates" if table is TEMPLATES else "store"
    if table is MIGRATED:
        pending = under_way(db, read.name)
        storage, dimension = "float32", 0 if pending is None else pending.dimension
    damaged = [number for found in pages(db, table, storage, dimension) for number in found.damaged]
    for what in described(db, table, damaged[:_MOST]):
        yield Finding(part, f"{what} is damaged: it differs from the enrolled vector")
    if len(damaged) > _MOST:
        yield Finding(part, f"{len(damaged) - _MOST} more {table.name} are damaged")


def _check_crops(read: Transaction) -> Iterator[Finding]:
    count = 0
    for count, what in enumerate(damaged_crops(read), 1):
        if count <= _MOST:
            yield Finding("store", f"{what}: it is not shown, and no migration uses it")
    if count > _MOST:
        yield Finding("store", f"{count - _MOST} more crops are damaged")


def _check_templates(read: Transaction) -> Iterator[Finding]:
    db, settings, dimension = read.db, read.facts().settings, read.facts().binding.dimension
    if settings.templates == ALL:
        if count := db.execute("SELECT count(*) FROM templates").fetchone()[0]:
            yield Finding("templates", f"there are {count}, although images are compared")
        return
    checked_policy(settings.templates)
    keys = [key for (key,) in db.execute("SELECT DISTINCT person FROM images")]
    extra = "SELECT count(*) FROM templates WHERE person NOT IN (SELECT person FROM images)"
    if count := db.execute(extra).fetchone()[0]:
        yield Finding("templates", f"{count} belong to people without images")
    sql = "SELECT vector FROM templates WHERE person = ? ORDER BY template"
    wrong = 0
    for owners, templates in made_templates(read, keys):
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
        yield Finding(
            "templates", f"those of {wrong} people differ from the templates of their images"
        )


def _check_people(db: StoreConnection) -> Iterator[Finding]:
    wrong = []
    for person, metadata in db.execute("SELECT id, metadata FROM people"):
        if not isinstance(person, str) or not person:
            wrong.append(f"a person's id is damaged: {shown(repr(person))} is not text")
        elif metadata_in(metadata) is None:
            wrong.append(f"the metadata of {shown(person)} cannot be read: it is not a JSON object")
    for problem in wrong[:_MOST]:
        yield Finding("store", problem)
    if len(wrong) > _MOST:
        yield Finding("store", f"{len(wrong) - _MOST} more people's rows are damaged")
