"""Checks of the files of a gallery's index against the store."""

from collections.abc import Iterator

import numpy as np

from facever.gallery.checksums import intact
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.sealed import SealError
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.state import State, entries_after
from facever.gallery.index.tail import forgotten
from facever.gallery.pgvector import is_pgvector
from facever.gallery.records import Finding
from facever.gallery.store.store import Store


def check_index(store: Store) -> Iterator[Finding]:
    """Yield the problems of a store's index; a missing index is not a problem."""

    def belongs(state: State) -> bool:
        return state.is_of(store)

    if is_pgvector(store.settings.index):
        for problem in store.search_problems():
            yield Finding(
                "index", f"the table for pgvector {problem}; run 'facever gallery rebuild'"
            )
        return
    path = store.folder / snapshots.FILE
    try:
        with store.reading():
            snapshot = Snapshot.read(path, belongs)
            if wrong := _wrong(store, snapshot):
                yield Finding("index", f"{path} {wrong}; run 'facever gallery rebuild'")
            path = path.with_name(approximates.FILE)
            Approximate.read(path, store.settings.index, snapshot, belongs)
    except SealError as error:
        if str(error) not in ("missing", "of an older format"):  # rebuilt when needed
            yield Finding("index", f"{path} is {error}")


def _wrong(store: Store, snapshot: Snapshot) -> str:
    """Return how a snapshot differs from the store, up to the snapshot's last entry.

    Entries removed since are ignored; entries damaged in the store are findings of the store.
    """
    there = snapshot.entries
    gone = store.entries_removed_after(snapshot.state.change.number)
    owners = forgotten(there.numbers, there.owners, gone)
    last = int(there.numbers[-1]) if len(there.numbers) else 0
    left = owners >= 0
    for entries in entries_after(store, 0):
        wanted = entries.rows(entries.numbers <= last)
        if not len(wanted.numbers):
            break
        at = np.searchsorted(there.numbers, wanted.numbers)
        lacking = (there.numbers[at] != wanted.numbers) | (owners[at] < 0)
        if lacking.any():
            return f"lacks entry {wanted.numbers[lacking][0]} of the store"
        same = there.rows(at)
        right = (same.owners == wanted.owners) & (same.checksums == wanted.checksums)
        right &= intact(*same)
        if not right.all():
            return (
                f"has {int((~right).sum())} damaged vectors, the first is that of entry "
                f"{wanted.numbers[~right][0]}"
            )
        left[at] = False
    strange = sorted(set(there.numbers[left].tolist()) - store.entries_among(there.numbers[left]))
    return f"has entry {strange[0]}, which is not in the store" if strange else ""
