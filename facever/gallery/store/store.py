"""The store of a gallery: its people, their images and the images' vectors.

`Store` is the complete interface; the rest of this folder implements it with one SQLite file. The
guarantees of every store:

**Changes.** Each method that changes something is one change: atomic (complete, or nothing on an
error or a kill), durable when the method returns, and serial: one writer at a time, others wait. A
change raises GalleryError, and changes nothing, when another writer keeps writing, when this user
cannot write, when there is no disk space, and for the reasons documented at the method of the same
name of `Gallery`.

**Readers.** A reader sees only complete changes, and never waits for a writer. Each query reads the
newest state; within `reading`, all queries read one state. Queries that start after a removal has
returned never return removed data. A damaged vector, id or metadata is reported in a warning, once,
and omitted from answers.

**Change number.** Each change of people, images, settings, operating points or calibrations has a
number, larger than all earlier ones, and a random stamp; so has the end of a migration, but not its
other steps, which do not affect the answers of the model in use. In another copy of the store that
was changed independently the stamp is different, so that `had` returns whether this store was in a
given state.

**Entries.** A search compares with entries: images, or the templates made of them. The number of an
entry is never reused, and its vector and owner never change. So an index needs two queries to
follow a store: the entries with numbers after the largest known one (`entries_after`), and those
removed after the last known change (`entries_removed_after`).

**Generation.** If all entries are replaced (another template policy, storage or model), the
generation changes, and an index must be built again.

People have keys: numbers that are never reused and remain when the id changes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from facever.errors import GalleryError, NotEnrolledError, TakenError
from facever.gallery.checksums import checksum_of_texts
from facever.gallery.metadata import merged
from facever.gallery.pgvector import is_pgvector
from facever.gallery.records import (
    Binding,
    Duplicate,
    Duplicates,
    Equivalence,
    NewImages,
    Settings,
    Vectors,
    several,
    shown,
    text,
)
from facever.gallery.storage import checked_storage
from facever.gallery.store import crops, entries, images, migration, people
from facever.gallery.store.conflicts import repeated
from facever.gallery.store.database import Transaction, begin_gallery, later, record
from facever.gallery.store.opening import FILE, make_database, open_database
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.queries import StoreQueries, table_of
from facever.gallery.templates import checked_policy

__all__ = ["FILE", "Store"]

_MANY = 1000  # images

Review = Callable[[list[Duplicate]], list[Duplicate]]
T = TypeVar("T")


class Store(StoreQueries):
    """An open store; create it with `create` or open it with `open`. Threads may share one.

    Args:
        database: An open database; it is closed with the store.
    """

    @classmethod
    def create(
        cls,
        place: Path | GalleryAddress,
        binding: Binding,
        settings: Settings | None = None,
        shown_as: Path | None = None,
    ) -> None:
        """Create a new, empty store, readable by its owner only.

        Args:
            place: The gallery's folder, or its address in PostgreSQL.
            binding: The gallery's binding.
            settings: The gallery's settings.
            shown_as: The final name of the folder, for messages.

        Raises:
            GalleryError: The store cannot be written.
        """
        begin = partial(begin_gallery, binding=binding, settings=settings or Settings())
        make_database(place, begin, shown_as=shown_as)

    @classmethod
    def open(cls, place: Path | GalleryAddress, wait: float) -> Self:
        """Open the store of a gallery; upgrade an older format.

        It is open read-only if this user cannot write to it.

        Args:
            place: The gallery's folder, or its address in PostgreSQL.
            wait: Seconds to wait for another writer.

        Raises:
            GalleryError: There is no store, or it has a newer format, is damaged, or cannot be
                opened.
        """
        return cls(open_database(place, wait))

    def again(self) -> Self:
        """Open the same store once more, for another thread."""
        return type(self)(self._database.again())

    def close(self) -> None:
        """Close the store; later calls raise GalleryError."""
        self._database.close()

    # -- enrolment --------------------------------------------------------------------------

    @repeated
    def enroll(
        self,
        new: NewImages,
        metadata: Mapping[str, Mapping[str, Any]],
        duplicates: Duplicates,
        *,
        fingerprint: str | None = None,
        review: Review | None = None,
        nobody: Sequence[str] = (),
    ) -> tuple[int, int, list[Duplicate]]:
        """Add images.

        Args:
            new: The images to add.
            metadata: Metadata by person id; its keys are added to the person's metadata, even if
                none of their images is new. People not enrolled afterwards are ignored.
            duplicates: What to do with an image that is already enrolled.
            fingerprint: The gallery's fingerprint when the vectors were checked.
            review: Takes the duplicates by hash and source, and returns further ones or refuses the
                enrolment. It runs within the change: no one else can write meanwhile, and its
                queries read the state before the change.
            nobody: Ids of people to add without any image.

        Returns:
            The number of images and of new people, and the duplicates. If nothing is new, there is
            no change.

        Raises:
            GalleryError: There is a duplicate with "refuse", metadata cannot be stored, or the
                gallery's model has changed since the check.
        """
        with self._database.writing(much=len(new.people) > _MANY) as change:
            db, binding = change.db, change.facts().binding
            if fingerprint not in (None, binding.fingerprint):
                raise GalleryError(
                    f"the gallery now has fingerprint {binding.fingerprint}, but these vectors "
                    f"have {fingerprint}: embed the images again"
                )
            found = list(images.find_duplicates(db, new))
            if review is not None:
                found = sorted([*found, *review(found)], key=lambda duplicate: duplicate.index)
            if found and duplicates == "refuse":
                first, more = found[0], len(found) - 1
                raise TakenError(
                    f"{first.what()} is already enrolled as {shown(first.known_as)}"
                    f"{f' (and {more} more)' if more else ''}; nothing was enrolled"
                )
            skipped = {d.index for d in found} if duplicates == "skip" else set()
            kept = [index for index in range(len(new.people)) if index not in skipped]
            whose = sorted({*nobody, *(new.people[index] for index in kept)})
            time = later(db)
            new_people = people.add_people(db, whose, time)
            named = sorted({*whose, *(person for person, said in metadata.items() if said)})
            sql = "SELECT id, person FROM people WHERE id IN ({})"
            keys: dict[str, int] = dict(db.among(sql, named))
            told = people.add_metadata(db, keys, metadata)
            owners = [keys[new.people[index]] for index in kept]
            images.add_images(change, new, kept, owners, time)
            if kept or new_people or told:
                number = record(db, "enroll", people=new_people, images=len(kept))
                entries.derive(change, number, sorted(set(owners)))
        return len(kept), new_people, found

    @repeated
    def add_person(self, person: str, metadata: Mapping[str, Any]) -> None:
        """Add a person without images."""
        with self._database.writing() as change:
            key = people.add_person(change.db, people.require_free(change.db, person))
            people.write_metadata(change.db, key, merged(person, {}, metadata))
            record(change.db, "enroll", people=1, images=0)

    # -- edits and removals -----------------------------------------------------------------

    @repeated
    def update(
        self,
        person: str,
        metadata: Mapping[str, Any],
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change a person's metadata or id; the entries remain. A former id is added to the audit
        log.
        """
        several(remove_keys, "keys")
        with self._database.writing() as change:
            people.update_person(change, person, metadata, remove_keys, new_id)

    @repeated
    def merge(self, person: str, into: str) -> int:
        """Move a person's images to another one as new entries; add the id to the audit log."""
        with self._database.writing() as change:
            db = change.db
            gone, kept = people.key_of(db, person), people.key_of(db, into)
            before = people.known_as(db, [person])[person][0]
            if gone == kept:
                raise GalleryError(f"{shown(person)} cannot be merged into the same person")
            known = {**people.metadata_of(db, gone), **people.metadata_of(db, kept)}
            people.write_metadata(db, kept, known)
            sql = "SELECT image FROM images WHERE person = ? ORDER BY image"
            moved = [image for (image,) in db.execute(sql, [gone])]
            number = record(db, "merge", people=1, images=len(moved))
            images.give_images(change, number, moved, gone, kept)
            people.note_removal(change, number, "merge", {before: len(moved)})
            db.execute("DELETE FROM people WHERE person = ?", [gone])
        return len(moved)

    @repeated
    def split(self, person: str, which: Sequence[str | int], new_person: str) -> int:
        """Move some of a person's images to a new person, as new entries."""
        several(which, "sources or numbers")
        with self._database.writing() as change:
            db = change.db
            key = people.key_of(db, person)
            new_id = people.require_free(db, new_person)
            moved = images.images_named(db, key, person, which)
            if not moved:
                raise GalleryError(
                    f"give at least one image of {shown(person)} that shows {shown(new_id)}"
                )
            if len(moved) == change.first("SELECT count(*) FROM images WHERE person = ?", key)[0]:
                raise GalleryError(
                    f"these are all images of {shown(person)}: rename the person instead"
                )
            new_key = people.add_person(db, new_id)
            number = record(db, "split", people=1, images=len(moved))
            images.give_images(change, number, moved, key, new_key)
        return len(moved)

    @repeated
    def remove(self, person: str, image: str | int | None = None) -> int:
        """Remove a person, or only one of their images; add it to the audit log."""
        if image is None:
            return self.remove_all([person])
        with self._database.writing() as change:
            db = change.db
            named = images.images_named(db, people.key_of(db, person), person, [image])
            number = record(db, "remove images", people=0, images=len(named))
            images.remove_images(change, number, named, "remove images")
        return len(named)

    @repeated
    def remove_all(self, persons: Sequence[str]) -> int:
        """Remove people in one change; add each to the audit log."""
        given = several(persons, "ids")
        wanted = list(dict.fromkeys(text(person, "a person id") for person in given))
        with self._database.writing() as change:
            known = people.known_as(change.db, wanted)
            missing = [person for person in wanted if person not in known]
            if missing:
                others = f" (nor {len(missing) - 1} more of these)" if len(missing) > 1 else ""
                raise NotEnrolledError(
                    f"no person {shown(missing[0])} is enrolled{others}"
                    f"{'; nobody was removed' if len(wanted) > 1 else ''}"
                )
            return images.remove_people(change, dict(known.values())) if wanted else 0

    # -- operating points and calibrations --------------------------------------------------

    @repeated
    def add_measured(self, what: str, name: str, kind: str, written: str) -> None:
        """Store the JSON of an operating point or calibration under a new name.

        Raises:
            GalleryError: The name is taken.
        """
        table = table_of(what)
        text(name, "a name")
        with self._database.writing() as change:
            db = change.db
            if change.first(f"SELECT 1 FROM {table} WHERE name = ?", name):
                raise TakenError(f"{what} {shown(name)} already exists")
            checksum = checksum_of_texts(name.encode(), kind.encode(), written.encode())
            row = [name, kind, written, later(db), checksum]
            db.execute(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", row)
            record(db, what, people=0, images=0)

    @repeated
    def remove_measured(self, what: str, name: str) -> None:
        """Remove an operating point or calibration.

        Raises:
            GalleryError: There is none of that name.
        """
        with self._database.writing() as change:
            sql = f"DELETE FROM {table_of(what)} WHERE name = ?"
            if not change.db.execute(sql, [name]).rowcount:
                raise NotEnrolledError(f"there is no {what} {shown(name)}")
            record(change.db, f"remove {what}", people=0, images=0)

    # -- settings ---------------------------------------------------------------------------

    @repeated
    def set_templates(self, policy: str) -> None:
        """Change the template policy: a new generation."""
        policy = checked_policy(policy)
        with self._database.writing(much=True) as change:
            entries.change_templates(change, policy)

    @repeated
    def set_storage(self, kind: str) -> None:
        """Write all vectors in another number format: a new generation. Damaged ones remain."""
        storage = checked_storage(kind)
        with self._database.writing(much=True) as change:
            entries.change_storage(change, storage)

    @repeated
    def set_index(self, kind: str) -> bool:
        """Store the setting for the kind of index, which is not checked here; return whether it
        is another one.
        """
        with self._database.writing(much=True) as change:
            changed = kind != change.facts().settings.index
            if changed:
                change.write_facts({"index": kind})
                record(change.db, "index", people=0, images=0)
        return changed

    @repeated
    def set_keep_crops(self, keep: bool) -> int:
        """Keep the crops of images from now on, or none; return the number of crops removed."""
        with self._database.writing(much=True) as change:
            return crops.change_keeping(change, keep)

    @repeated
    def remake_search(self) -> None:
        """Make anew what searches in the database need, if this gallery has them."""
        with self._database.writing(much=True) as change:
            if is_pgvector(change.facts().settings.index):
                self._database.forget_search(change)
                record(change.db, "index", people=0, images=0)

    @repeated
    def remake_templates(self) -> None:
        """Compute the templates again of people with a damaged one."""
        with self._database.writing() as change:
            entries.remake_damaged_templates(change)

    # -- equivalent models ------------------------------------------------------------------

    @repeated
    def accept_equivalent(self, equivalence: Equivalence) -> None:
        """Store an equivalence; it replaces one of the same fingerprint.

        Raises:
            GalleryError: The gallery's model has changed since the measurement.
        """
        with self._database.writing() as change:
            facts = change.facts()
            if equivalence.of != facts.binding.fingerprint:
                raise GalleryError(
                    f"the gallery now has fingerprint {facts.binding.fingerprint}: measure again"
                )
            _write_equivalents(
                change, {**facts.equivalents, equivalence.fingerprint: equivalence}, "accept"
            )

    @repeated
    def remove_equivalent(self, fingerprint: str) -> None:
        """Remove an equivalence.

        Raises:
            GalleryError: There is none of that fingerprint.
        """
        with self._database.writing() as change:
            known = dict(change.facts().equivalents)
            if known.pop(fingerprint, None) is None:
                raise GalleryError(f"the gallery has no equivalent model {shown(fingerprint)}")
            _write_equivalents(change, known, "remove")

    # -- migration to another model ---------------------------------------------------------

    @repeated
    def begin_migration(self, binding: Binding) -> None:
        """Begin or resume a migration to another model; delete damaged new vectors."""
        with self._database.writing() as change:
            migration.begin(change, binding)

    @repeated
    def add_migrated(
        self,
        numbers: Sequence[int],
        vectors: Vectors,
        norms: Sequence[float | None],
        fingerprint: str,
    ) -> None:
        """Store new vectors, float32 [N, D], unit rows, of images that still exist."""
        with self._database.writing() as change:
            migration.add(change, numbers, vectors, norms, fingerprint)

    @repeated
    def finish_migration(self, fingerprint: str, remove: Sequence[int] = ()) -> int:
        """Switch to the new model: a new binding and generation, the same images.

        Even if it is refused, damaged new vectors have been deleted and are pending again.
        """
        with self._database.writing() as change:
            migration.drop_damaged(change, fingerprint)
        with self._database.writing(much=True) as change:
            return migration.finish(change, fingerprint, remove)

    @repeated
    def abandon_migration(self) -> None:
        """Discard a migration and its new vectors."""
        with self._database.writing() as change:
            migration.abandon(change)

    # -- maintenance ------------------------------------------------------------------------

    def purge(self) -> None:
        """Rewrite the store so that no byte of removed data remains. Answers do not change.

        Raises:
            GalleryError: Another process keeps reading.
        """
        self._database.rewrite()


def _write_equivalents(change: Transaction, known: Mapping[str, Equivalence], action: str) -> None:
    change.write_facts({"equivalents": [asdict(one) for one in known.values()]})
    record(change.db, f"{action} equivalent", people=0, images=0)
