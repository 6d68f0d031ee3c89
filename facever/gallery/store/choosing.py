"""The settings of a store change: all entries become others, or are written otherwise."""

import sqlite3
from dataclasses import replace

from facever.gallery.records import Settings
from facever.gallery.store.coding import checked_storage
from facever.gallery.store.deriving import derive
from facever.gallery.store.editing import Editing
from facever.gallery.store.facts import facts_in
from facever.gallery.store.schema import new_generation, write_facts
from facever.gallery.store.sealing import IMAGES, TEMPLATES, pages, rewrite
from facever.gallery.store.statements import among, each, record
from facever.gallery.templates import checked_policy


class Choosing(Editing):
    """The changes of settings; each is made whole or not at all."""

    def set_templates(self, policy: str) -> None:
        """Compare people by other templates from now on; their images stay.

        Raises:
            GalleryError: No such policy, one that somebody's images do not allow, or the store
                cannot be written.
        """
        policy = checked_policy(policy)
        with self.writing(much=True) as db:
            settings = facts_in(db, self.path).settings
            if policy != settings.templates:
                change = record(db, "templates", people=0, images=0)
                self.begin_generation(db, change, replace(settings, templates=policy))

    def remake_templates(self) -> None:
        """Make the templates again of people of whom one is damaged.

        Raises:
            GalleryError: The store cannot be written.
        """
        with self.writing() as db:
            facts = facts_in(db, self.path)
            storage, dimension = facts.settings.storage, facts.binding.dimension
            damaged = [
                number
                for found in pages(db, TEMPLATES, storage, dimension)
                for number in found.damaged
            ]
            if not damaged:
                return
            sql = "SELECT DISTINCT person FROM templates WHERE template IN ({})"
            owners = [key for (key,) in among(db, sql, damaged)]
            change = record(db, "templates", people=0, images=0)
            db.executemany(
                "INSERT OR IGNORE INTO removed (entry, change) VALUES (?, ?)",
                ((number, change) for number in damaged),
            )
            each(db, "DELETE FROM templates WHERE template IN ({})", damaged)
            derive(db, self._damage, facts.settings, dimension, change, owners)

    def set_storage(self, kind: str) -> None:
        """Write all vectors otherwise from now on; what was rounded stays so.

        Raises:
            GalleryError: No such kind, or the store cannot be written.
        """
        storage = checked_storage(kind)
        with self.writing(much=True) as db:
            facts = facts_in(db, self.path)
            before = facts.settings.storage
            if storage == before:
                return
            dimension = facts.binding.dimension
            for found in pages(db, IMAGES, before, dimension):  # a damaged vector stays as it is
                rewrite(db, found.numbers, found.owners, found.vectors, storage, dimension)
            change = record(db, "storage", people=0, images=0)
            self.begin_generation(db, change, replace(facts.settings, storage=storage))

    def set_index(self, kind: str) -> None:
        """Keep which kind of index is made from now on.

        Raises:
            GalleryError: The store cannot be written.
        """
        with self.writing() as db:
            if kind != facts_in(db, self.path).settings.index:
                write_facts(db, {"index": kind})
                record(db, "index", people=0, images=0)

    def begin_generation(self, db: sqlite3.Connection, change: int, settings: Settings) -> None:
        """Make all entries anew by settings; `images` is as these say already."""
        write_facts(
            db,
            {
                "generation": new_generation(),
                "templates": settings.templates,
                "storage": settings.storage,
            },
        )
        db.execute("DELETE FROM templates")
        db.execute("DELETE FROM removed")
        dimension = facts_in(db, self.path).binding.dimension
        keys = [key for (key,) in db.execute("SELECT DISTINCT person FROM images ORDER BY person")]
        derive(db, self._damage, settings, dimension, change, keys)
