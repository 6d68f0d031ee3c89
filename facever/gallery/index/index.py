"""What follows a store: an engine that is told of every change before it answers."""

import threading
from collections.abc import Iterator

import numpy as np

from facever.gallery.index.engine import DamagedError, Engine, Entries, Scores, State
from facever.gallery.records import Change, Keys, Vectors
from facever.gallery.store.store import Store
from facever.operating_point import ScoreRule

AT_ONCE = 16384  # entries


class Index:
    """The search index of one store. Threads may share one.

    Args:
        store: What it follows, the truth.
        engine: What answers; it is filled from the store where it holds nothing of it.
    """

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store, self.engine = store, engine
        self._lock = threading.RLock()
        self._state: State | None = None
        self.mended = False  # whether an entry of the engine was found to be damaged

    def refresh(self) -> State:
        """Tell the engine what changed since the last time and return the newest state."""
        with self._lock, self.store.reading():
            newest = state_of(self.store)
            if self._state is None or self._state.generation != newest.generation:
                self._state = self.engine.open(self.belongs)
            if self._state is None:
                self.engine.create(newest.dimension)
                self._state = State(newest.gallery, newest.generation, Change(0, ""), 0, 0)
            if newest != self._state:
                for entries in entries_after(self.store, self.engine.last()):
                    self.engine.upsert(entries)
                self.engine.delete(self.store.entries_removed_after(self._state.change.number))
                self.engine.reach(newest)
                self._state = newest
            return newest

    def belongs(self, state: State) -> bool:
        """Return whether the store went through this state and only added and removed since."""
        return belongs(self.store, state)

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Search as an `Engine` does, with what is in the store now and is not damaged."""
        mended = np.empty(0, np.int64)
        while True:
            self.refresh()
            try:
                return self.engine.search(queries, k, rule, among)
            except DamagedError as damaged:
                self.mend(np.setdiff1d(damaged.numbers, mended))
                self.mend(np.intersect1d(damaged.numbers, mended), drop=True)
                mended = np.union1d(mended, damaged.numbers)

    def mend(self, numbers: Keys, drop: bool = False) -> None:
        """Take entries that the engine has damaged from the store; those damaged there go.

        Args:
            numbers: Of the entries.
            drop: They go in any case: what was taken from the store does not stay whole.
        """
        if len(numbers):
            with self._lock:
                kept = [] if drop else numbers.tolist()
                self.engine.mend(numbers, self.store.entries_numbered(kept))
                self.mended = True


def state_of(store: Store) -> State:
    """Return the state that the store is in."""
    with store.reading():
        return State(
            store.gallery,
            store.generation(),
            store.change(),
            store.binding.dimension,
            store.counts()[0],
        )


def belongs(store: Store, state: State) -> bool:
    """Return whether a store went through a state and only added and removed entries since."""
    with store.reading():
        now = state_of(store)
        same = (state.gallery, state.generation, state.dimension)
        return same == (now.gallery, now.generation, now.dimension) and store.had(state.change)


def entries_after(store: Store, number: int) -> Iterator[Entries]:
    """Yield the entries after a number, some at a time; within one reading transaction."""
    while True:
        entries = store.entries_after(number, AT_ONCE)
        if not len(entries.numbers):
            return
        yield entries
        number = int(entries.numbers[-1])
