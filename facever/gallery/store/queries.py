"""The queries of a store: what it promises of them is in `store.py`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import numpy as np

from facever.data.crops import KeptCrop
from facever.errors import GalleryError, NotEnrolledError
from facever.gallery.checksums import checksum_of_texts
from facever.gallery.image_filters import ImageFilter
from facever.gallery.metadata import checked_where
from facever.gallery.pgvector import PgvectorKind
from facever.gallery.records import (
    Audited,
    Binding,
    Change,
    Duplicate,
    Entries,
    Equivalence,
    Finding,
    Keys,
    MigrationState,
    NewImages,
    PendingImage,
    PersonImages,
    Row,
    Settings,
    StoredImage,
    Vectors,
    shown,
)
from facever.gallery.store import crops, entries, images, migration, people
from facever.gallery.store.copies import Copied, CopiedState, copy_rows, row_count
from facever.gallery.store.database import Database, Transaction
from facever.gallery.store.entry_search import EntrySearch
from facever.gallery.store.findings import findings
from facever.gallery.store.vectors import REMEDY, entry_table

T = TypeVar("T")


class StoreQueries:
    """The queries of an open store.

    Args:
        database: An open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name, self.folder = database.name, database.folder

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read one state of the store in all queries within this context."""
        with self._database.reading():
            yield

    def require_writable(self) -> None:
        """Refuse changes if this user cannot write to the store.

        Raises:
            GalleryError: The file or its folder cannot be written by this user.
        """
        self._database.require_writable()

    @property
    def read_only(self) -> bool:
        """Whether this user cannot write to the store."""
        return self._database.read_only

    # -- properties ------------------------------------------------------------------------

    @property
    def index_writable(self) -> bool:
        """Whether files can be written to the folder for derived files."""
        return self._database.index_writable

    @property
    def folder_is_temporary(self) -> bool:
        """Whether the folder for derived files is a new one, deleted when the store is closed."""
        return self._database.folder_is_temporary

    @property
    def gallery(self) -> str:
        """The gallery's identifier; copies of a gallery share it."""
        return self._database.facts().gallery

    @property
    def created(self) -> str:
        """Creation time of the gallery, ISO 8601 in UTC."""
        return self._database.facts().created

    @property
    def binding(self) -> Binding:
        """The gallery's current binding; a migration changes it."""
        return self._database.facts().binding

    @property
    def settings(self) -> Settings:
        """The gallery's current settings."""
        return self._database.facts().settings

    @property
    def equivalents(self) -> Mapping[str, Equivalence]:
        """The accepted equivalents of the gallery's model by their fingerprints."""
        return self._database.facts().equivalents

    @property
    def connection(self) -> int:
        """Number of the reading connection: another one may see a store that went back."""
        return self._database.connection

    def generation(self) -> str:
        """Return the generation, which changes when all entries are replaced."""
        return self._database.facts().generation

    def change(self) -> Change:
        """Return the newest change."""
        sql = "SELECT change, stamp FROM changes ORDER BY change DESC LIMIT 1"
        return self._database.remembered("change", lambda read: Change(*read.first(sql)))

    def had(self, change: Change) -> bool:
        """Return whether this store has had a change."""
        with self._database.reading() as read:
            rows = read.db.execute("SELECT stamp FROM changes WHERE change = ?", [change.number])
            return rows.fetchall() == [(change.stamp,)]

    def counts(self) -> tuple[int, int]:
        """Return the numbers of people and of images."""
        return self._counts()[:2]

    def entry_count(self) -> int:
        """Return the number of entries."""
        return self._counts()[2]

    def _counts(self) -> tuple[int, int, int]:
        def counted(read: Transaction) -> tuple[int, int, int]:
            table = entry_table(read.facts().settings).name
            tables = ", ".join(
                f"(SELECT count(*) FROM {one})" for one in ("people", "images", table)
            )
            return tuple(read.first(f"SELECT {tables}"))

        return self._database.remembered("counts", counted)

    def photo_count(self) -> int:
        """Return the number of images enrolled as photos."""
        with self._database.reading() as read:
            return images.count_photos(read.db)

    def crop_count(self) -> int:
        """Return the number of images whose crop is kept."""
        with self._database.reading() as read:
            return crops.count_crops(read)

    # -- entries, for indexes --------------------------------------------------------------

    def entries_after(self, number: int, limit: int | None = None) -> Entries:
        """Return the entries after a number, without damaged ones.

        Args:
            number: Number of an entry.
            limit: Maximum number of entries, the first ones; by default all. The result is empty
                only at the end.
        """
        with self._database.reading() as read:
            return entries.entries_after(read, number, limit)

    def entries_numbered(self, numbers: Sequence[int]) -> Entries:
        """Return the entries of these numbers, ascending, without damaged ones."""
        with self._database.reading() as read:
            return entries.entries_numbered(read, numbers)

    def entries_among(self, numbers: Keys) -> set[int]:
        """Return which of these numbers are numbers of entries, including damaged ones."""
        with self._database.reading() as read:
            table = entry_table(read.facts().settings)
            sql = f"SELECT {table.number} FROM {table.name} WHERE {table.number} IN ({{}})"
            return {number for (number,) in read.db.among(sql, numbers.tolist())}

    def entries_removed_after(self, change: int) -> Keys:
        """Return the numbers of the entries that were removed after a change."""
        sql = "SELECT entry FROM removed WHERE change > ?"
        with self._database.reading() as read:
            rows = read.db.execute(sql, [change]).fetchall()
        return np.array(rows, dtype=np.int64).reshape(-1)

    def entry_search(self) -> EntrySearch:
        """Return the search of the entries by the database; use it within one `reading`.

        Raises:
            SearchTableError: What it searches is missing (`remake_search`).
            GalleryError: The database does not search.
        """
        with self._database.reading() as read:
            return self._database.entry_search(read)

    def trial_search(
        self, kind: PgvectorKind, entries: Entries
    ) -> AbstractContextManager[EntrySearch]:
        """Yield a search of some entries by the database, which are not stored.

        Raises:
            GalleryError: The database does not search, or has not what it needs for it.
        """
        return self._database.trial_search(kind, entries)

    def search_problems(self) -> Iterator[str]:
        """Yield how what the database searches differs from the entries."""
        with self._database.reading() as read:
            yield from self._database.search_problems(read)

    # -- people ----------------------------------------------------------------------------

    def ids(self, keys: Iterable[int]) -> dict[int, str]:
        """Return the ids of people by their keys, without removed or damaged ones."""
        with self._database.reading() as read:
            sql = f"SELECT person, id FROM people p WHERE {read.db.is_sound_id('p')}"
            return dict(read.db.among(f"{sql} AND person IN ({{}})", list(keys)))

    def ids_at(self, change: Change, keys: Sequence[int]) -> dict[int, str] | None:
        """Return `ids` by one message to the database, if that is possible.

        Returns:
            The ids; None if the newest change is another one, or without a database for it.
        """
        return self._database.ids_at(change, keys)

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield people by ascending keys, in blocks of one state each; report damaged ids."""
        conditions = checked_where(where or {})
        for found in self._paged(lambda read, key: people.people_after(read, key, conditions)):
            yield from (person for _, person in found)

    def people_page(
        self, limit: int, after: int, where: Mapping[str, Any]
    ) -> tuple[list[PersonImages], int | None]:
        """Return at most `limit` people by ascending keys, of one state; see `Gallery`."""
        conditions = checked_where(where)
        most = 4 * limit + 1 if conditions else limit + 1  # rows; some do not match a filter
        held: list[tuple[int, PersonImages]] = []
        last: int | None = after
        with self._database.reading() as read:
            while last is not None and len(held) <= limit:
                found, last = people.people_after(read, last, conditions, most)
                held += found
        page = held[:limit]
        return [person for _, person in page], page[-1][0] if len(held) > limit else None

    def keys_where(self, where: Mapping[str, Any]) -> Keys:
        """Return the keys, ascending, of the people whose metadata matches (`Gallery.search`)."""
        conditions = checked_where(where)
        with self._database.reading() as read:
            return np.array(people.keys_matching(read, conditions), dtype=np.int64)

    def images_matching(self, wanted: ImageFilter) -> tuple[Keys, Keys]:
        """Return the numbers of the images that match a filter, ascending, and their owners.

        Each is int64 [N].
        """
        with self._database.reading() as read:
            return images.matching(read, wanted)

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata; raise GalleryError if it is damaged."""
        with self._database.reading() as read:
            return people.metadata_of(read.db, people.key_of(read.db, person))

    def without_images(self) -> dict[str, str]:
        """Return the metadata (JSON) of people without images, by id."""
        with self._database.reading() as read:
            return people.without_images(read)

    # -- images ----------------------------------------------------------------------------

    def images(self, person: str) -> list[StoredImage]:
        """Return a person's images by ascending numbers; report and omit damaged rows."""
        with self._database.reading() as read:
            return images.images_of(read, people.key_of(read.db, person), person)

    def rows_of(self, person: str) -> tuple[list[Row], Vectors]:
        """Return all images of a person with their vectors [n, D]; a damaged vector is NaN."""
        with self._database.reading() as read:
            return images.rows_of(read, people.key_of(read.db, person))

    def crop(self, person: str, image: int) -> KeptCrop:
        """Return the crop of a person's image.

        Raises:
            NotEnrolledError: There is no such person or image, no crop of it, or a damaged one.
        """
        with self._database.reading() as read:
            images.images_named(read.db, people.key_of(read.db, person), person, [image])
            return crops.crop_of(read, image, person)

    def crops(self, numbers: Sequence[int]) -> Iterator[tuple[int, KeptCrop]]:
        """Yield the numbers and crops of these images, without damaged ones, in blocks."""
        for start in range(0, len(numbers), crops.ROWS_AT_ONCE):
            with self._database.reading() as read:
                found = list(crops.crops_of(read, numbers[start : start + crops.ROWS_AT_ONCE]))
            yield from found

    def vectors_of(self, person: str) -> Vectors:
        """Return the vectors [n, D] of a person's entries.

        Raises:
            GalleryError: There is no such person, or the person has no images, or all vectors are
                damaged.
        """
        with self._database.reading() as read:
            known = people.known_as(read.db, [person])
            vectors = entries.vectors_of(read, known[person][1]) if known else None
        if vectors is None:
            raise NotEnrolledError(f"no person {shown(person)} with images is enrolled")
        if not len(vectors):
            raise GalleryError(f"{self.name}: all vectors of {shown(person)} are damaged: {REMEDY}")
        return vectors

    def image_vectors(self) -> Iterator[tuple[Keys, Vectors]]:
        """Yield people's keys [n] and the vectors [n, D] of all images, in blocks."""
        yield from self._paged(images.vectors_after)

    def rows(self) -> Iterator[tuple[list[Row], Vectors]]:
        """Yield all images and their vectors [n, D], in blocks; call it within one `reading`.

        A damaged vector is NaN.
        """
        yield from self._paged(images.rows_after)

    def duplicates_of(self, new: NewImages) -> list[Duplicate]:
        """Return the images that are already enrolled, by hash or source."""
        with self._database.reading() as read:
            return list(images.find_duplicates(read.db, new))

    def _paged(self, page: Callable[[Transaction, int], tuple[T, int | None]]) -> Iterator[T]:
        """Yield the results of `page`, each after the last number of the one before."""
        after = 0
        while True:
            with self._database.reading() as read:
                found, last = page(read, after)
            if last is None:
                return
            yield found
            after = last

    # -- audit log, operating points and calibrations --------------------------------------

    def audit(self, mark: str | None = None) -> list[Audited]:
        """Return the removals, oldest first; with a `mark`, only those of one person."""
        with self._database.reading() as read:
            sql = "SELECT time, action, images, person, change FROM audit"
            where, values = ("", []) if mark is None else (" WHERE person = ?", [mark])
            rows = read.db.execute(f"{sql}{where} ORDER BY entry", values)
            return [Audited(*row) for row in rows]

    def mark(self, person: str) -> str:
        """Return the keyed hash of a person's id in the audit log; it differs between galleries."""
        return people.mark_of(self._database.facts().audit_key, person)

    def measured(self, what: str) -> dict[str, str | None]:
        """Return the JSON of all operating points or calibrations by name; None for a damaged one.

        Args:
            what: "operating point" or "calibration".
        """
        table = table_of(what)
        columns = ("name", "kind", what.split()[-1])

        def stored(read: Transaction) -> list[Any]:
            texts = ", ".join(map(read.db.as_bytes, columns))
            return read.db.execute(
                f"SELECT {texts}, checksum FROM {table} ORDER BY name"
            ).fetchall()

        rows = self._database.remembered(table, stored)
        return {
            name.decode(errors="replace"): written.decode()
            if checksum_of_texts(name, kind, written) == checksum
            else None
            for name, kind, written, checksum in rows
        }

    # -- copies -----------------------------------------------------------------------------

    def copied_state(self) -> CopiedState:
        """Return the current state, as a copy records it."""
        with self._database.reading() as read:
            return CopiedState.of(read, read.facts())

    def row_count(self) -> int:
        """Return the number of rows that `copy_into` copies."""
        with self._database.reading() as read:
            return row_count(read.db)

    def copy_into(self, copy: Database, advance: Callable[[int], None]) -> Copied:
        """Copy all rows of one state to an incomplete copy, and complete it; see `copy_rows`."""
        with self._database.reading() as read:
            return copy_rows(read, copy, CopiedState.of(read, read.facts()), advance)

    # -- migration and maintenance ---------------------------------------------------------

    def migration(self) -> MigrationState | None:
        """Return the progress of a migration; None if there is none."""
        with self._database.reading() as read:
            return migration.state(read)

    def pending_images(self) -> Iterator[PendingImage]:
        """Yield the images without a new vector by ascending numbers, in blocks."""
        for found in self._paged(migration.pending_after):
            yield from found

    def size(self) -> int:
        """Return the bytes of the store's files or tables, and of files derived from it."""
        return self._database.size()

    def check(self) -> Iterator[Finding]:
        """Yield the problems, as far as the store can be read."""
        try:
            with self._database.reading() as read:
                yield from findings(read)
        except GalleryError as error:
            yield Finding("store", str(error))


def table_of(what: str) -> str:
    """Return the table of operating points or of calibrations."""
    return f"{what.replace(' ', '_')}s"
