"""How people and images leave a store."""

import sqlite3
from collections.abc import Sequence

from facever.errors import GalleryError
from facever.gallery.records import shown, text
from facever.gallery.store.deriving import derive, forget_entries
from facever.gallery.store.enrolling import Enrolling
from facever.gallery.store.facts import facts_in
from facever.gallery.store.statements import (
    among,
    each,
    images_named,
    key_of,
    known_as,
    later,
    record,
    several,
)
from facever.gallery.templates import ALL


class Removing(Enrolling):
    """The changes that take away; what went is in the audit log, without whom it was of."""

    def remove(self, person: str, image: str | int | None = None) -> int:
        """Remove a person, or only one image of theirs, and return how many images went.

        Args:
            person: Their id.
            image: The image's source, or its number.

        Raises:
            GalleryError: No such person or image, or the store cannot be written.
        """
        if image is None:
            return self.remove_all([person])
        with self.writing() as db:
            images = images_named(db, key_of(db, person), person, [image])
            change = record(db, "remove images", people=0, images=len(images))
            self._remove_images(db, change, images, "remove images")
        return len(images)

    def remove_all(self, people: Sequence[str]) -> int:
        """Remove people in one transaction and return how many images went.

        Raises:
            GalleryError: Nobody of one of these ids, or the store cannot be written.
        """
        wanted = list(dict.fromkeys(text(id_, "a person id") for id_ in several(people, "ids")))
        with self.writing() as db:
            facts = facts_in(db, self.path)
            known = known_as(db, wanted)
            keys = dict(known.values())
            lost = [person for person in wanted if person not in known]
            if lost:
                others = f" (nor {len(lost) - 1} more of these)" if len(lost) > 1 else ""
                raise GalleryError(
                    f"nobody is enrolled as {shown(lost[0])}{others}"
                    f"{'; nobody was removed' if len(wanted) > 1 else ''}"
                )
            if not wanted:
                return 0
            sql = "SELECT person, count(*) FROM images WHERE person IN ({}) GROUP BY person"
            counts: dict[int, int] = dict(among(db, sql, list(keys.values())))
            change = record(db, "remove", people=len(keys), images=sum(counts.values()))
            removed = {person: counts.get(key, 0) for person, key in keys.items()}
            self._note(db, change, "remove", removed)
            forget_entries(db, facts.settings, change, list(keys.values()))
            for table in ("templates", "images", "people"):
                each(db, f"DELETE FROM {table} WHERE person IN ({{}})", list(keys.values()))
        return sum(counts.values())

    def _remove_images(
        self, db: sqlite3.Connection, change: int, images: Sequence[int], action: str
    ) -> None:
        """Remove images by their numbers, and note it."""
        facts = facts_in(db, self.path)
        sql = "SELECT p.id, p.person FROM images i JOIN people p USING (person) WHERE image IN ({})"
        counts: dict[str, int] = {}
        keys: dict[str, int] = {}
        for person, key in among(db, sql, images):
            keys[person] = key
            counts[person] = counts.get(person, 0) + 1
        self._note(db, change, action, counts)
        if facts.settings.templates == ALL:
            db.executemany(
                "INSERT INTO removed (entry, change) VALUES (?, ?)",
                ((image, change) for image in images),
            )
        each(db, "DELETE FROM images WHERE image IN ({})", images)
        derive(
            db, self._damage, facts.settings, facts.binding.dimension, change, sorted(keys.values())
        )

    def _note(
        self, db: sqlite3.Connection, change: int, action: str, removed: dict[str, int]
    ) -> None:
        """Add to the audit log how many images went, by person id."""
        self._takes_away = True
        time = later(db)
        db.executemany(
            "INSERT INTO audit (time, action, person, images, change) VALUES (?, ?, ?, ?, ?)",
            [
                (time, action, self.mark(person), images, change)
                for person, images in removed.items()
            ],
        )
