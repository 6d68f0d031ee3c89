"""Entries: the vectors that a search compares with (images, or templates made of them)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter

from facever.errors import GalleryError
from facever.gallery.records import Entries, Keys, Settings, Storage, Vectors
from facever.gallery.storage import encoded
from facever.gallery.store.database import Transaction, record
from facever.gallery.store.facts import new_generation
from facever.gallery.store.vectors import (
    IMAGES,
    TEMPLATES,
    add_checksums,
    columns,
    entry_table,
    joined,
    name_damaged,
    pages,
    rewrite,
    verified,
    whole,
)
from facever.gallery.templates import ALL, templates_of

_PEOPLE_AT_ONCE = 1024


# -- queries ------------------------------------------------------------------------------------


def entries_after(read: Transaction, number: int, limit: int | None) -> Entries:
    """Return the intact entries after a number."""
    table = entry_table(read.facts().settings)
    sql = f"SELECT {columns(read.db, table)} FROM {joined(table, after=True)}"
    sql += f" WHERE t.{table.number} > ?"
    sql += f" ORDER BY t.{table.number}{'' if limit is None else f' LIMIT {limit}'}"
    while True:
        rows = read.db.execute(sql, [number, number]).fetchall()
        found = whole(read, table, rows)
        if len(found.numbers) or not rows:
            return Entries(*found[:4])
        number = rows[-1][0]


def entries_numbered(read: Transaction, numbers: Sequence[int]) -> Entries:
    """Return the intact entries of these numbers, ascending."""
    table = entry_table(read.facts().settings)
    sql = f"SELECT {columns(read.db, table)} FROM {joined(table)} WHERE t.{table.number} IN ({{}})"
    rows = sorted(read.db.among(sql, numbers), key=itemgetter(0))
    return Entries(*whole(read, table, rows)[:4])


def vectors_of(read: Transaction, key: int) -> Vectors | None:
    """Return the intact vectors [n, D] of a person's entries; None if the person has no entries."""
    table = entry_table(read.facts().settings)
    sql = f"SELECT {columns(read.db, table)} FROM {joined(table)} WHERE t.person = ?"
    rows = read.db.execute(f"{sql} ORDER BY t.{table.number}", [key]).fetchall()
    return whole(read, table, rows).vectors if rows else None


# -- update of templates ------------------------------------------------------------------------


def derive(change: Transaction, number: int, keys: Sequence[int]) -> None:
    """Compute the templates of some people again; do nothing if every image is an entry.

    Images with damaged vectors are reported and ignored.

    Args:
        change: The transaction that changed their images.
        number: Number of the change.
        keys: Keys of the people.
    """
    if change.facts().settings.templates != ALL:
        forget_entries_of(change, number, keys)
        change.db.each("DELETE FROM templates WHERE person IN ({})", keys)
        _write_templates(change, keys)


def forget_entries_of(change: Transaction, number: int, keys: Sequence[int]) -> None:
    """Record that a change removes all entries of some people."""
    table = entry_table(change.facts().settings)
    change.db.each(
        f"INSERT INTO removed (entry, change) SELECT {table.number}, ? FROM {table.name}"
        " WHERE person IN ({})",
        keys,
        number,
    )


def forget_images(change: Transaction, number: int, images: Iterable[int]) -> None:
    """Record that a change removes images, if images are entries."""
    if change.facts().settings.templates == ALL:
        rows = ((image, number) for image in images)
        change.db.insert("removed", ["entry", "change"], rows)


def _write_templates(change: Transaction, keys: Sequence[int]) -> None:
    """Write the templates of people without templates."""
    db, facts = change.db, change.facts()
    storage, dimension = facts.settings.storage, facts.binding.dimension
    for owners, templates in made_templates(change, keys, named=True):
        first = db.allot("templates", len(owners))
        numbers = range(first, first + len(owners))
        blobs = list(encoded(templates, storage))
        rows = list(zip(numbers, owners.tolist(), blobs, strict=True))
        db.insert("templates", ["template", "person", "vector"], rows)
        add_checksums(db, TEMPLATES, rows, storage, dimension)


def made_templates(
    read: Transaction, keys: Sequence[int], *, named: bool = False
) -> Iterator[tuple[Keys, Vectors]]:
    """Yield the keys and templates of some people, computed from their images.

    Args:
        read: The transaction.
        keys: Keys of the people.
        named: Whether to warn of images with damaged vectors, which are always ignored.
    """
    sql = (
        f"SELECT {columns(read.db, IMAGES)}, coalesce(quality, norm) FROM {joined(IMAGES)}"
        " WHERE t.person IN ({}) ORDER BY t.person, t.image"
    )
    facts = read.facts()
    policy = facts.settings.templates
    for start in range(0, len(keys), _PEOPLE_AT_ONCE):
        rows = list(read.db.among(sql, keys[start : start + _PEOPLE_AT_ONCE]))
        found = verified(rows, facts.settings.storage, facts.binding.dimension)
        if named:
            name_damaged(read, IMAGES, found.damaged)
        if not len(found.numbers):
            continue
        of = {row[0]: row[-1] for row in rows}
        weights = [of[number] for number in found.numbers.tolist()]
        try:
            yield templates_of(policy, found.owners, found.vectors, weights)
        except GalleryError as error:
            raise GalleryError(f"no templates by '{policy}': {error}") from error


def remake_damaged_templates(change: Transaction) -> None:
    """Compute the templates again of people with a damaged one."""
    db, facts = change.db, change.facts()
    found = pages(db, TEMPLATES, facts.settings.storage, facts.binding.dimension)
    damaged = [number for some in found for number in some.damaged]
    if not damaged:
        return
    sql = "SELECT DISTINCT person FROM templates WHERE template IN ({})"
    owners = [key for (key,) in db.among(sql, damaged)]
    number = record(db, "templates", people=0, images=0)
    db.executemany(
        "INSERT INTO removed (entry, change) VALUES (?, ?) ON CONFLICT DO NOTHING",
        ((template, number) for template in damaged),
    )
    db.each("DELETE FROM templates WHERE template IN ({})", damaged)
    derive(change, number, owners)


# -- replacement of all entries -----------------------------------------------------------------


def change_templates(change: Transaction, policy: str) -> None:
    """Change the template policy."""
    settings = change.facts().settings
    if policy != settings.templates:
        record(change.db, "templates", people=0, images=0)
        begin_generation(change, replace(settings, templates=policy))


def change_storage(change: Transaction, storage: Storage) -> None:
    """Write all vectors in another number format; damaged ones remain unchanged."""
    facts = change.facts()
    before, dimension = facts.settings.storage, facts.binding.dimension
    if storage == before:
        return
    for found in pages(change.db, IMAGES, before, dimension):
        rewrite(change.db, found.numbers, found.owners, found.vectors, storage, dimension)
    record(change.db, "storage", people=0, images=0)
    begin_generation(change, replace(facts.settings, storage=storage))


def begin_generation(change: Transaction, settings: Settings) -> None:
    """Create all entries again for new settings; the images' vectors already have their format."""
    db = change.db
    change.write_facts(
        {
            "generation": new_generation(),
            "templates": settings.templates,
            "storage": settings.storage,
        },
    )
    db.execute("DELETE FROM templates")
    db.execute("DELETE FROM removed")
    if settings.templates != ALL:
        keys = [key for (key,) in db.execute("SELECT DISTINCT person FROM images ORDER BY person")]
        _write_templates(change, keys)
