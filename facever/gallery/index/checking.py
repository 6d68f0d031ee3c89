"""Whether the files of a gallery's index are what the store makes of them."""

from collections.abc import Iterator

import numpy as np

from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.engine import Entries
from facever.gallery.index.index import belongs
from facever.gallery.index.sealed import SealError
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.tail import forgotten
from facever.gallery.records import Finding
from facever.gallery.store.store import Store

_AT_ONCE = 4096  # entries


def check_index(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the index beside a store; a missing one is made when needed."""
    path = store.path.with_name(snapshots.FILE)
    try:
        with store.reading():
            snapshot = Snapshot.read(path)
            if not belongs(store, snapshot.state):
                raise SealError("of another state of the gallery")
            if not _same(store, snapshot):
                yield Finding("index", f"{path} differs from the store")
            path = path.with_name(approximates.FILE)
            Approximate.read(
                path, store.settings.index, snapshot, lambda state: belongs(store, state)
            )
    except SealError as error:
        if str(error) != "missing":
            yield Finding("index", f"{path} is {error}")


def _same(store: Store, snapshot: Snapshot) -> bool:
    """Return whether the snapshot, without what went since, is the store up to its last entry."""
    there = snapshot.entries
    gone = store.entries_removed_after(snapshot.state.change.number)
    owners = forgotten(there.numbers, there.owners, gone)
    living = np.flatnonzero(owners >= 0)
    last = int(there.numbers[-1]) if len(there.numbers) else 0
    number = 0
    for start in range(0, len(living), _AT_ONCE):
        rows = living[start : start + _AT_ONCE]
        wanted = Entries(*store.entries_after(number, len(rows)))
        if (
            not np.array_equal(wanted.numbers, there.numbers[rows])
            or not np.array_equal(wanted.owners, owners[rows])
            or not np.array_equal(wanted.vectors, there.vectors[rows])
        ):
            return False
        number = int(wanted.numbers[-1])
    after = store.entries_after(number, 1)[0]
    return not len(after) or int(after[0]) > last
