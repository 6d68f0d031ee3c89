"""A store moves to another model: new vectors gather beside the old ones, then take their place."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from facever.errors import GalleryError
from facever.gallery.records import Binding, MigrationState, PendingImage, Vectors
from facever.gallery.store.choosing import Choosing
from facever.gallery.store.coding import decoded, encoded
from facever.gallery.store.file import facts_in
from facever.gallery.store.schema import write_facts
from facever.gallery.store.statements import record

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
            now, under_way = facts_in(db, self.path).binding, _under_way(db)
            if binding.fingerprint == now.fingerprint:
                raise GalleryError(f"the gallery is of fingerprint {now.fingerprint} already")
            if under_way is not None and under_way != binding:
                raise GalleryError(
                    f"a migration to fingerprint {under_way.fingerprint} has begun, so none to "
                    f"{binding.fingerprint} can: finish or abandon it first"
                )
            write_facts(db, {"migration": asdict(binding)})

    def migration(self) -> MigrationState | None:
        """Return how far a migration is; None when there is none."""
        with self.reading() as db:
            binding = _under_way(db)
            if binding is None:
                return None
            done = db.execute("SELECT count(*) FROM migrated").fetchone()[0]
            return MigrationState(binding, done, self.counts()[1] - done)

    def pending_images(self) -> Iterator[PendingImage]:
        """Yield the images that have no new vector yet, in the order of their numbers."""
        sql = (
            f"SELECT image, (SELECT id FROM people p WHERE p.person = i.person), source, hash"
            f" FROM {_PENDING} AND image > ? ORDER BY image LIMIT {_ROWS_AT_ONCE}"
        )
        last = 0
        while True:
            with self.reading() as db:
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
            _require(db, fingerprint)
            db.executemany(
                "INSERT OR REPLACE INTO migrated (image, norm, vector)"
                " SELECT image, ?, ? FROM images WHERE image = ?",
                zip(norms, encoded(vectors, "float32"), images, strict=True),
            )

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
        with self.writing(much=True) as db:
            binding = _require(db, fingerprint)
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
            if settings.storage == "float32":
                db.execute(
                    "UPDATE images SET (norm, vector) = (SELECT m.norm, m.vector FROM migrated m"
                    " WHERE m.image = images.image)"
                )
            else:
                self._swap_rounded(db, binding.dimension)
            for table in ("migrated", "operating_points", "calibrations"):
                db.execute(f"DELETE FROM {table}")
            db.execute("DELETE FROM meta WHERE key = 'migration'")
            write_facts(db, asdict(binding))
            self.begin_generation(db, change, settings)
        return len(gone)

    def _swap_rounded(self, db: sqlite3.Connection, dimension: int) -> None:
        storage = facts_in(db, self.path).settings.storage
        sql = "SELECT image, norm, vector FROM migrated WHERE image > ? ORDER BY image LIMIT ?"
        last = 0
        while rows := db.execute(sql, [last, _ROWS_AT_ONCE]).fetchall():
            images, norms, blobs = zip(*rows, strict=True)
            last = images[-1]
            vectors = encoded(decoded(blobs, "float32", dimension), storage)
            db.executemany(
                "UPDATE images SET norm = ?, vector = ? WHERE image = ?",
                zip(norms, vectors, images, strict=True),
            )

    def abandon_migration(self) -> None:
        """Forget a migration; the gallery stays with its model.

        Raises:
            GalleryError: None is under way, or the store cannot be written.
        """
        with self.writing() as db:
            if _under_way(db) is None:
                raise GalleryError("no migration is under way")
            db.execute("DELETE FROM migrated")
            db.execute("DELETE FROM meta WHERE key = 'migration'")


def _under_way(db: sqlite3.Connection) -> Binding | None:
    row = db.execute("SELECT value FROM meta WHERE key = 'migration'").fetchone()
    return Binding(**json.loads(row[0])) if row is not None else None


def _require(db: sqlite3.Connection, fingerprint: str) -> Binding:
    binding = _under_way(db)
    if binding is None or binding.fingerprint != fingerprint:
        begun = "none" if binding is None else f"one to {binding.fingerprint}"
        raise GalleryError(f"no migration to fingerprint {fingerprint} is under way, but {begun}")
    return binding
