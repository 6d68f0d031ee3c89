"""Writing the files of the index, when needed and by one process at a time."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from facever.core.files import alone, remove_leftovers
from facever.errors import GalleryError
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.approximate import Approximate, write_approximate
from facever.gallery.index.codes import LEAST
from facever.gallery.index.kinds import FLAT, resolved
from facever.gallery.index.sealed import SealError, said_by
from facever.gallery.index.snapshot import (
    Snapshot,
    allowed_lag,
    count_in,
    lacks_codes,
    write_snapshot,
)
from facever.gallery.index.state import AT_ONCE, State, entries_after
from facever.gallery.index.tail import forgotten
from facever.gallery.pgvector import is_pgvector
from facever.gallery.records import Entries
from facever.gallery.store.store import Store

LOCK = "index.lock"


def write_index(store: Store, wait: float, anew: bool = False) -> None:
    """Write the snapshot and the approximate index if they are out of date or damaged.

    Args:
        store: The source. A reading transaction stays open while the snapshot is written.
        wait: Seconds to wait for another process that writes the index.
        anew: Write both from the store only, so that nothing old remains in them.

    Raises:
        GalleryError: Another process is writing the index, or the store cannot be read.
        OSError: The files cannot be written.
    """
    folder = store.folder
    taken = GalleryError(
        f"{folder}: another process is writing the index (waited {wait:g} s); try again"
    )
    with alone(folder / LOCK, taken, wait):
        _sweep(folder)
        if anew or _snapshot_due(store) or not _is_usable(store):
            with store.reading():
                state = State.of(store)
                batches = entries_after(store, 0) if anew else _entries(store)
                write_snapshot(folder / snapshots.FILE, state, batches)
        if anew or _approximate_due(store) or not _can_serve(store):
            _write_approximate(store)


def is_due(store: Store) -> bool:
    """Return whether the files are too far behind the store, or not of the set kind."""
    with store.reading():
        if is_pgvector(store.settings.index):  # the database searches, without files
            return False
        return _snapshot_due(store) or _approximate_due(store)


def _snapshot_due(store: Store) -> bool:
    path = store.folder / snapshots.FILE
    had, there = count_in(path), store.entry_count()
    if abs(there - had) > allowed_lag(had) or (had >= LEAST and lacks_codes(path)):
        return True
    said = said_by(path)
    return bool(said) and said.get("generation") != store.generation()


def _approximate_due(store: Store) -> bool:
    path = store.folder / approximates.FILE
    asked, said, there = store.settings.index, said_by(path), store.entry_count()
    if asked == FLAT or not said:
        kind = resolved(asked, there, store.binding.dimension)
        return path.exists() if kind == FLAT else count_in(path.with_name(snapshots.FILE)) > 0
    had = count_in(path)
    return (
        abs(there - had) > allowed_lag(had)
        or said.get("asked") != asked
        or said.get("generation") != store.generation()
    )


def _is_usable(store: Store) -> bool:
    """Return whether the snapshot is missing, or intact and of this store."""
    try:
        Snapshot.read(store.folder / snapshots.FILE, lambda state: state.is_of(store))
    except SealError as error:
        return str(error) == "missing"
    return True


def _can_serve(store: Store) -> bool:
    """Return whether the approximate index is missing, or intact, readable and of this store."""
    path, asked = store.folder / approximates.FILE, store.settings.index
    try:
        snapshot = Snapshot.read(path.with_name(snapshots.FILE))
        Approximate.read(path, asked, snapshot, lambda state: state.is_of(store))
    except SealError as error:
        return str(error) == "missing"
    return True


def _entries(store: Store) -> Iterator[Entries]:
    """Yield the store's entries, from the snapshot where possible."""
    path, last = store.folder / snapshots.FILE, 0
    with suppress(SealError):
        snapshot = Snapshot.read(path, lambda state: state.is_of(store))
        if len(snapshot.entries.numbers):
            numbers, owners, _, checksums = snapshot.entries
            gone = store.entries_removed_after(snapshot.state.change.number)
            owners, width = forgotten(numbers, owners, gone), snapshot.state.dimension
            with path.open("rb") as file:  # memory-mapped vectors would fill the memory
                for start in range(0, len(numbers), AT_ONCE):
                    block = slice(start, start + AT_ONCE)
                    vectors = np.fromfile(file, "<f4", width * len(numbers[block]))
                    yield Entries(
                        numbers[block],
                        owners[block],
                        vectors.reshape(-1, width),
                        checksums[block],
                    )
            last = int(numbers[-1])
    yield from entries_after(store, last)


def _write_approximate(store: Store) -> None:
    path = store.folder / approximates.FILE
    try:
        snapshot = Snapshot.read(store.folder / snapshots.FILE)
    except SealError as error:
        raise GalleryError(f"the snapshot cannot be read after writing it: {error}") from None
    asked, count = store.settings.index, len(snapshot.entries.numbers)
    kind = resolved(asked, count, snapshot.state.dimension)
    if kind == FLAT or not count:
        path.unlink(missing_ok=True)
    else:
        write_approximate(path, kind, asked, snapshot)


def _sweep(folder: Path) -> None:
    """Delete temporary files of killed writers, including those of earlier versions.

    The lock is held: no other process writes.
    """
    remove_leftovers(folder)
    for name in (snapshots.FILE, approximates.FILE):
        path = folder / name
        for leftover in folder.glob(f".{path.stem}.*.tmp{path.suffix}"):
            leftover.unlink(missing_ok=True)
