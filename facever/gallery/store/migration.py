"""A migration to another model: new vectors are collected, then replace the old ones.

Until then, the old model stays in use, and images can be added and removed.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from facever.errors import GalleryError
from facever.gallery.records import Binding, MigrationState, PendingImage, Storage, Vectors
from facever.gallery.storage import encoded
from facever.gallery.store.connection import StoreConnection
from facever.gallery.store.crops import require_size
from facever.gallery.store.database import Transaction, record
from facever.gallery.store.entries import begin_generation
from facever.gallery.store.facts import under_way
from facever.gallery.store.images import landmarks_column, remove_images
from facever.gallery.store.vectors import MIGRATED, add_checksums, pages, rewrite

_ROWS_AT_ONCE = 4096
_PENDING = "images i WHERE NOT EXISTS (SELECT 1 FROM migrated m WHERE m.image = i.image)"


def begin(change: Transaction, binding: Binding) -> None:
    """Begin or resume a migration to another model."""
    now, begun = change.facts().binding, under_way(change.db, change.name)
    if binding.fingerprint == now.fingerprint:
        raise GalleryError(f"the gallery already has fingerprint {now.fingerprint}")
    if begun is not None and begun != binding:
        raise GalleryError(
            f"a migration to fingerprint {begun.fingerprint} has begun: finish or abandon it "
            f"before one to {binding.fingerprint}"
        )
    if change.facts().settings.keep_crops:
        require_size(binding)
    if begun is not None:
        _drop_damaged(change.db, begun)
    change.write_facts({"migration": asdict(binding)})


def state(read: Transaction) -> MigrationState | None:
    """Return the progress of a migration; None if there is none."""
    binding = under_way(read.db, read.name)
    if binding is None:
        return None
    sql = "SELECT (SELECT count(*) FROM migrated), (SELECT count(*) FROM images)"
    done, images = read.db.execute(sql).fetchone()
    return MigrationState(binding, done, images - done)


def pending_after(read: Transaction, image: int) -> tuple[list[PendingImage], int | None]:
    """Return the next images after a number without a new vector, and the last number.

    The last number is None at the end.
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
    """Store new vectors [N, D] of images [N]; ignore those of removed images."""
    db, binding = change.db, _require(change, fingerprint)
    sql = "SELECT image FROM images WHERE image IN ({})"
    there = {image for (image,) in db.among(sql, images)}
    given = zip(images, norms, encoded(vectors, "float32"), strict=True)
    rows = list({row[0]: row for row in given if row[0] in there}.values())
    db.each("DELETE FROM migrated WHERE image IN ({})", sorted(there))
    db.insert("migrated", ["image", "norm", "vector"], rows)
    sums = ((image, 0, blob) for image, _, blob in rows)
    add_checksums(db, MIGRATED, sums, "float32", binding.dimension)


def drop_damaged(change: Transaction, fingerprint: str) -> None:
    """Delete damaged new vectors: their images are pending again."""
    _drop_damaged(change.db, _require(change, fingerprint))


def finish(change: Transaction, fingerprint: str, remove: Sequence[int]) -> int:
    """Switch to the new model, and return the number of images removed."""
    db, binding = change.db, _require(change, fingerprint)
    pending = {image for (image,) in db.execute(f"SELECT image FROM {_PENDING}")}
    gone = sorted(pending & set(remove))
    if left := len(pending) - len(gone):
        raise GalleryError(
            f"{left} images are not embedded by the new model yet; the gallery keeps the old one"
        )
    images = db.execute("SELECT count(*) FROM images").fetchone()[0]
    number = record(db, "migrate", people=0, images=images - len(gone))
    if gone:
        remove_images(change, number, gone, "migrate")
    settings = change.facts().settings
    _take_migrated(db, settings.storage, binding.dimension)
    for table in ("migrated", "operating_points", "calibrations"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM meta WHERE key IN ('migration', 'equivalents')")
    change.write_facts(asdict(binding))
    begin_generation(change, settings)
    return len(gone)


def abandon(change: Transaction) -> None:
    """Discard a migration; the gallery keeps its model."""
    if under_way(change.db, change.name) is None:
        raise GalleryError("there is no migration")
    change.db.execute("DELETE FROM migrated")
    change.db.execute("DELETE FROM meta WHERE key = 'migration'")


def _take_migrated(db: StoreConnection, storage: Storage, dimension: int) -> None:
    """Replace every image's vector by its new one; all new ones are intact."""
    db.execute(
        "UPDATE images SET norm = (SELECT m.norm FROM migrated m WHERE m.image = images.image)"
    )
    for found in pages(db, MIGRATED, "float32", dimension):
        sql = "SELECT image, person FROM images WHERE image IN ({})"
        owners = dict(db.among(sql, found.numbers.tolist()))
        of = np.array([owners[image] for image in found.numbers.tolist()], np.int64)
        rewrite(db, found.numbers, of, found.vectors, storage, dimension)


def _require(change: Transaction, fingerprint: str) -> Binding:
    binding = under_way(change.db, change.name)
    if binding is None or binding.fingerprint != fingerprint:
        begun = "none" if binding is None else f"one to {binding.fingerprint}"
        raise GalleryError(f"there is no migration to fingerprint {fingerprint}, but {begun}")
    return binding


def _drop_damaged(db: StoreConnection, binding: Binding) -> None:
    for found in pages(db, MIGRATED, "float32", binding.dimension):
        db.each("DELETE FROM migrated WHERE image IN ({})", found.damaged)
