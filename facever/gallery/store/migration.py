"""A migration to another model: new vectors gather beside the old ones, then replace them.

Between the steps the old model serves, and images come and go.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import Binding, MigrationState, PendingImage, Storage, Vectors
from facever.gallery.storage import encoded
from facever.gallery.store.database import Transaction, among, each, record
from facever.gallery.store.entries import begin_generation
from facever.gallery.store.images import landmarks_column, remove_images
from facever.gallery.store.schema import under_way
from facever.gallery.store.vectors import MIGRATED, pages, rewrite, write_checksums

_ROWS_AT_ONCE = 4096
_PENDING = "images i WHERE NOT EXISTS (SELECT 1 FROM migrated m WHERE m.image = i.image)"


def begin(change: Transaction, binding: Binding) -> None:
    """Begin to move to another model, or resume."""
    now, begun = change.facts().binding, under_way(change.db, change.path)
    if binding.fingerprint == now.fingerprint:
        raise GalleryError(f"the gallery is of fingerprint {now.fingerprint} already")
    if begun is not None and begun != binding:
        raise GalleryError(
            f"a migration to fingerprint {begun.fingerprint} has begun, so none to "
            f"{binding.fingerprint} can: finish or abandon it first"
        )
    if begun is not None:
        _drop_damaged(change.db, begun)
    change.write_facts({"migration": asdict(binding)})


def state(read: Transaction) -> MigrationState | None:
    """Return how far a migration is; None when there is none."""
    binding = under_way(read.db, read.path)
    if binding is None:
        return None
    sql = "SELECT (SELECT count(*) FROM migrated), (SELECT count(*) FROM images)"
    done, images = read.db.execute(sql).fetchone()
    return MigrationState(binding, done, images - done)


def pending_after(read: Transaction, image: int) -> tuple[list[PendingImage], int | None]:
    """Return the next images after a number that have no new vector, and the last number.

    It is None when there are no more.
    """
    sql = (
        "SELECT image, (SELECT id FROM people p WHERE p.person = i.person), source,"
        f" hash, {landmarks_column(read.db, 'i.image')} FROM {_PENDING} AND image > ?"
        f" ORDER BY image LIMIT {_ROWS_AT_ONCE}"
    )
    rows = read.db.execute(sql, [image]).fetchall()
    return [PendingImage(*row) for row in rows], rows[-1][0] if rows else None


def add(
    change: Transaction,
    images: Sequence[int],
    vectors: Vectors,
    norms: Sequence[float | None],
    fingerprint: str,
) -> None:
    """Keep new vectors [N, D] of images [N]; those of images that are gone are dropped."""
    db, binding = change.db, _require(change, fingerprint)
    blobs = list(encoded(vectors, "float32"))
    db.executemany(
        "INSERT OR REPLACE INTO migrated (image, norm, vector)"
        " SELECT image, ?, ? FROM images WHERE image = ?",
        zip(norms, blobs, images, strict=True),
    )
    sql = "SELECT image FROM images WHERE image IN ({})"
    there = {image for (image,) in among(db, sql, images)}
    rows = ((i, 0, blob) for i, blob in zip(images, blobs, strict=True) if i in there)
    write_checksums(db, MIGRATED, rows, "float32", binding.dimension)


def drop_damaged(change: Transaction, fingerprint: str) -> None:
    """Forget new vectors that are damaged: their images are pending again."""
    _drop_damaged(change.db, _require(change, fingerprint))


def finish(change: Transaction, fingerprint: str, remove: Sequence[int]) -> int:
    """Let the new model serve, and return how many images were removed."""
    db, binding = change.db, _require(change, fingerprint)
    pending = {image for (image,) in db.execute(f"SELECT image FROM {_PENDING}")}
    gone = sorted(pending & set(remove))
    if left := len(pending) - len(gone):
        raise GalleryError(
            f"{left} images are not embedded by the new model yet; the gallery stays with "
            "the old one"
        )
    images = db.execute("SELECT count(*) FROM images").fetchone()[0]
    number = record(db, "migrate", people=0, images=images - len(gone))
    if gone:
        remove_images(change, number, gone, "migrate")
    settings = change.facts().settings
    _take_migrated(db, settings.storage, binding.dimension)
    for table in ("migrated", "operating_points", "calibrations"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM meta WHERE key = 'migration'")
    change.write_facts(asdict(binding))
    begin_generation(change, settings)
    return len(gone)


def abandon(change: Transaction) -> None:
    """Drop a migration; the gallery stays with its model."""
    if under_way(change.db, change.path) is None:
        raise GalleryError("no migration is under way")
    change.db.execute("DELETE FROM migrated")
    change.db.execute("DELETE FROM meta WHERE key = 'migration'")


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


def _require(change: Transaction, fingerprint: str) -> Binding:
    binding = under_way(change.db, change.path)
    if binding is None or binding.fingerprint != fingerprint:
        begun = "none" if binding is None else f"one to {binding.fingerprint}"
        raise GalleryError(f"no migration to fingerprint {fingerprint} is under way, but {begun}")
    return binding


def _drop_damaged(db: sqlite3.Connection, binding: Binding) -> None:
    for found in pages(db, MIGRATED, "float32", binding.dimension):
        each(db, "DELETE FROM migrated WHERE image IN ({})", found.damaged)
