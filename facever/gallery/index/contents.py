"""Contents of an index: the entries of a snapshot and later ones, without removed ones."""

import numpy as np

from facever.gallery.index.approximate import Approximate
from facever.gallery.index.people import Part
from facever.gallery.index.screen import CodeScreen
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.state import State, entries_after
from facever.gallery.index.tail import Tail, forgotten
from facever.gallery.index.view import View
from facever.gallery.records import Change, Entries, Keys, joined
from facever.gallery.store.store import Store


class Contents:
    """The entries of a store at one state. One thread at a time changes them.

    Args:
        snapshot: Entries of an earlier state, memory-mapped; they are not copied.
        approximate: An index that proposes rows of the snapshot; None for exact search.
    """

    def __init__(self, snapshot: Snapshot, approximate: Approximate | None = None) -> None:
        entries = snapshot.entries
        self.state = snapshot.state
        self._approximate = approximate
        self.screen = None if snapshot.codes is None else CodeScreen(snapshot.codes)
        self._first, self._tail = Part(entries), Tail(entries.vectors.shape[1])
        self._mended = entries.rows(slice(0))  # copies from the store that replace damaged entries
        self._last = int(entries.numbers[-1]) if len(entries.numbers) else 0
        self.view = self._view(snapshot.state.people)

    @classmethod
    def empty(cls, state: State) -> "Contents":
        """Return contents without entries, for a store in this state."""
        none = np.empty(0, np.int64)
        vectors = np.empty((0, state.dimension), np.float32)
        entries = Entries(none, none, vectors, np.empty(0, np.uint32))
        before = State(state.gallery, state.generation, Change(0, ""), state.dimension, 0)
        return cls(Snapshot(before, entries))

    def refresh(self, store: Store) -> None:
        """Add and remove the entries that the store has changed since the last call.

        It reads the store in one transaction. `view` changes at the end. After an exception it is
        unchanged, and the next call completes the update.
        """
        newest = State.of(store)
        if newest == self.state:
            return
        if not self._last:  # a whole gallery: growing step by step would copy it several times
            self._tail.reserve(store.entry_count())
        for entries in entries_after(store, self._last):
            self._tail.add(entries)
            self._last = int(entries.numbers[-1])
        removed = store.entries_removed_after(self.state.change.number)
        if len(removed):
            self._forget(removed)
        self.view, self.state = self._view(newest.people), newest

    def mend(self, numbers: Keys, entries: Entries) -> None:
        """Replace the damaged entries of these numbers by the given ones; remove those not
        given.
        """
        self._forget(numbers)
        both = joined([self._mended, entries])
        self._mended = both.rows(np.argsort(both.numbers))
        self.view = self._view(self.view.people)

    def _forget(self, numbers: Keys) -> None:
        entries = self._first.entries
        self._first = self._first.with_owners(forgotten(entries.numbers, entries.owners, numbers))
        self._tail.forget(numbers)
        self._mended = self._mended.rows(~np.isin(self._mended.numbers, numbers))

    def _view(self, people: int) -> View:
        parts = [self._first, Part(self._tail.entries())]
        if len(self._mended.numbers):
            parts.append(Part(self._mended))
        return View(parts, people, self._approximate, self.screen)
