"""A store moves to another model: new vectors gather beside the old ones, then take their place."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import Binding, MigrationState, PendingImage, Storage, Vectors
from facever.gallery.store.choosing import Choosing
from facever.gallery.store.coding import encoded
from facever.gallery.store.facts import facts_in, under_way
from facever.gallery.store.photos import landmarks_column
from facever.gallery.store.schema import write_facts
from facever.gallery.store.sealing import MIGRATED, pages, rewrite, write_checksums
from facever.gallery.store.statements import among, each, record

_ROWS_AT_ONCE = 4096
_PENDING = "images i WHERE NOT EXISTS (SELECT 1 FROM migrated m WHERE m.image = i.image)"


class Migrating(Choosing):
    """The steps of a migration; between them the old model serves, and images come and go."""

    def begin_migration(self, binding: Binding) -> None:
        """Begin to move to another model, or go on with that.

        Raises:
            GalleryError: It is of this model already, a migration to another one has begun, or the
                store cannot be written.
        """
        with self.writing() as db:
            now, begun = facts_in(db, self.path).binding, under_way(db, self.path)
            if binding.fingerprint == now.fingerprint:
                raise GalleryError(f"the gallery is of fingerprint {now.fingerprint} already")
            if begun is not None and begun != binding:
                raise GalleryError(
                    f"a migration to fingerprint {begun.fingerprint} has begun, so none to "
                    f"{binding.fingerprint} can: finish or abandon it first"
                )
            if begun is not None:
                _drop_damaged(db, begun)
            write_facts(db, {"migration": asdict(binding)})

    def migration(self) -> MigrationState | None:
        """Return how far a migration is; None when there is none."""
        with self.reading() as db:
            binding = under_way(db, self.path)
            if binding is None:
                return None
            done = db.execute("SELECT count(*) FROM migrated").fetchone()[0]
            return MigrationState(binding, done, self.counts()[1] - done)

    def pending_images(self) -> Iterator[PendingImage]:
        """Yield the images that have no new vector yet, in the order of their numbers."""
        last = 0
        while True:
            with self.reading() as db:
                sql = (
                    "SELECT image, (SELECT id FROM people p WHERE p.person = i.person), source,"
                    f" hash, {landmarks_column(db, 'i.image')} FROM {_PENDING} AND image > ?"
                    f" ORDER BY image LIMIT {_ROWS_AT_ONCE}"
                )
                rows = db.execute(sql, [last]).fetchall()
            if not rows:
                return
            yield from (PendingImage(*row) for row in rows)
            last = rows[-1][0]

    def add_migrated(
        self,
        images: Sequence[int],
        vectors: Vectors,
        norms: Sequence[float | None],
        fingerprint: str,
    ) -> None:
        """Keep new vectors of images; those of images that are gone are dropped.

        Args:
            images: Their numbers [N].
            vectors: float32 [N, D], unit rows, of the new model.
            norms: Lengths before normalising [N].
            fingerprint: Of the model that made them.

        Raises:
            GalleryError: No migration to that model is under way, or the store cannot be written.
        """
        with self.writing() as db:
            binding = self._require(db, fingerprint)
            blobs = list(encoded(vectors, "float32"))
            db.executemany(
                "INSERT OR REPLACE INTO migrated (image, norm, vector)"
                " SELECT image, ?, ? FROM images WHERE image = ?",
                zip(norms, blobs, images, strict=True),
            )
            there = {
                row[0] for row in among(db, "SELECT image FROM images WHERE image IN ({})", images)
            }
            rows = ((i, 0, blob) for i, blob in zip(images, blobs, strict=True) if i in there)
            write_checksums(db, MIGRATED, rows, "float32", binding.dimension)

    def finish_migration(self, fingerprint: str, remove: Sequence[int] = ()) -> int:
        """Let the new model serve, in one transaction.

        Operating points and calibrations are of the old model's scores, and go.

        Args:
            fingerprint: Of the new model.
            remove: Numbers of images that have no new vector and are to be removed.

        Returns:
            How many images were removed.

        Raises:
            GalleryError: No migration to that model is under way, other images have no new vector,
                or the store cannot be written.
        """
        with self.writing() as db:  # what is damaged stays pending also when the rest fails
            _drop_damaged(db, self._require(db, fingerprint))
        with self.writing(much=True) as db:
            binding = self._require(db, fingerprint)
            pending = {image for (image,) in db.execute(f"SELECT image FROM {_PENDING}")}
            gone = sorted(pending & set(remove))
            if left := len(pending) - len(gone):
                raise GalleryError(
                    f"{left} images are not embedded by the new model yet; the gallery stays with "
                    "the old one"
                )
            change = record(db, "migrate", people=0, images=self.counts()[1] - len(gone))
            if gone:
                self._remove_images(db, change, gone, "migrate")
            settings = facts_in(db, self.path).settings
            self._take_migrated(db, settings.storage, binding.dimension)
            for table in ("migrated", "operating_points", "calibrations"):
                db.execute(f"DELETE FROM {table}")
            db.execute("DELETE FROM meta WHERE key = 'migration'")
            write_facts(db, asdict(binding))
            self.begin_generation(db, change, settings)
        return len(gone)

    @staticmethod
    def _take_migrated(db: sqlite3.Connection, storage: Storage, dimension: int) -> None:
        """Give every image its new vector; all of these are whole."""
        db.execute(
            "UPDATE images SET norm = (SELECT m.norm FROM migrated m WHERE m.image = images.image)"
        )
        for found in pages(db, MIGRATED, "float32", dimension):
            sql = "SELECT image, person FROM images WHERE image IN ({})"
            owners = dict(among(db, sql, found.numbers.tolist()))
            of = np.array([owners[image] for image in found.numbers.tolist()], np.int64)
            rewrite(db, found.numbers, of, found.vectors, storage, dimension)

    def abandon_migration(self) -> None:
        """Forget a migration; the gallery stays with its model.

        Raises:
            GalleryError: None is under way, or the store cannot be written.
        """
        with self.writing() as db:
            if under_way(db, self.path) is None:
                raise GalleryError("no migration is under way")
            db.execute("DELETE FROM migrated")
            db.execute("DELETE FROM meta WHERE key = 'migration'")

    def _require(self, db: sqlite3.Connection, fingerprint: str) -> Binding:
        binding = under_way(db, self.path)
        if binding is None or binding.fingerprint != fingerprint:
            begun = "none" if binding is None else f"one to {binding.fingerprint}"
            raise GalleryError(
                f"no migration to fingerprint {fingerprint} is under way, but {begun}"
            )
        return binding


def _drop_damaged(db: sqlite3.Connection, binding: Binding) -> None:
    """Forget new vectors that are damaged: their images are pending again."""
    for found in pages(db, MIGRATED, "float32", binding.dimension):
        each(db, "DELETE FROM migrated WHERE image IN ({})", found.damaged)
