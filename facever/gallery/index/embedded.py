"""The engine inside the process: the snapshot, what came since, and without what went."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from facever.core.console import say
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.engine import Entries, Scores, State
from facever.gallery.index.kinds import FLAT, resolved
from facever.gallery.index.people import Part
from facever.gallery.index.sealed import SealError
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.tail import Tail, forgotten
from facever.gallery.index.view import View
from facever.gallery.records import Change, Keys, Vectors, joined
from facever.operating_point import ScoreRule

_AT_ONCE = 65536


class EmbeddedEngine:
    """Holds entries as a memory-mapped snapshot and a tail in memory (an `Engine`).

    Args:
        folder: Where snapshot and approximate index are.
        kind: The kind of index wanted (`kinds.py`).
        begins: Nobody expects files yet; that there are none is not worth saying.
    """

    def __init__(self, folder: Path, kind: str, begins: bool = False) -> None:
        self._folder, self._kind, self._begins = folder, kind, begins
        self.unusable = False  # whether a file was found that cannot be used
        self.create(1)

    def create(self, dimension: int) -> None:
        """Begin with nothing, for vectors of this dimension."""
        none = np.empty(0, np.int64)
        vectors = np.empty((0, dimension), np.float32)
        entries = Entries(none, none, vectors, np.empty(0, np.uint32))
        self._begin(Snapshot(State("", "", Change(0, ""), dimension, 0), entries))

    def open(self, belongs: Callable[[State], bool]) -> State | None:
        """Take up the snapshot, when it is whole and of the store, and the index beside it."""
        path = self._folder / snapshots.FILE
        try:
            snapshot = Snapshot.read(path)
            if not belongs(snapshot.state):
                raise SealError("of another state of the gallery")
        except SealError as error:
            self._found_unusable(error, f"{path} is {error}: made again from the store")
            return None
        self._begin(snapshot, self._beside(snapshot, belongs))
        return snapshot.state

    def _beside(self, snapshot: Snapshot, belongs: Callable[[State], bool]) -> Approximate | None:
        """Return what proposes rows of the snapshot; None where flat search serves."""
        entries, path = snapshot.entries, self._folder / approximates.FILE
        kind = resolved(self._kind, len(entries.numbers), entries.vectors.shape[1])
        if self._kind == FLAT or (kind == FLAT and not path.exists()):
            return Approximate.flat_on_gpu(snapshot)
        try:
            found = Approximate.read(path, self._kind, snapshot, belongs)
        except SealError as error:
            self._found_unusable(error, f"{path} is {error}: searched flat until it is made again")
            return None
        if isinstance(found, str):
            say(found)
            return None
        return found

    def _found_unusable(self, error: SealError, said: str) -> None:
        if not self._begins or str(error) != "missing":
            self.unusable = True
            say(said)

    def _begin(self, snapshot: Snapshot, approximate: Approximate | None = None) -> None:
        self._snapshot, self._approximate = snapshot, approximate
        self._tail = Tail(snapshot.entries.vectors.shape[1])
        self._first, self._gone = Part(snapshot.entries), np.empty(0, np.int64)
        self._mended = snapshot.entries.rows(slice(0))
        self._show(snapshot.state.people)

    def _show(self, people: int) -> None:
        """Let searches see what is there now."""
        parts = [self._first, Part(self._tail.entries())]
        if len(self._mended.numbers):
            parts.append(Part(self._mended))
        self._view = View(parts, people, self._approximate)

    # -- changing ---------------------------------------------------------------------------

    def upsert(self, entries: Entries) -> None:
        """Add entries to the tail, those that are not there already."""
        new = entries.numbers > self.last()
        self._tail.add(entries if new.all() else entries.rows(new))

    def delete(self, numbers: Keys) -> None:
        """Remember which entries go."""
        self._gone = np.concatenate([self._gone, numbers])

    def reach(self, state: State) -> None:
        """Show searches what was changed."""
        if len(self._gone):
            self._forget(self._gone)
            self._gone = self._gone[:0]
        self._show(state.people)

    def mend(self, numbers: Keys, entries: Entries) -> None:
        """Put entries in place of those of these numbers, which are damaged."""
        self._forget(numbers)
        both = joined([self._mended, entries])
        self._mended = both.rows(np.argsort(both.numbers))
        self._show(self._view.people)

    def _forget(self, numbers: Keys) -> None:
        entries = self._first.entries
        self._first = self._first.with_owners(forgotten(entries.numbers, entries.owners, numbers))
        self._tail.forget(numbers)
        self._mended = self._mended.rows(~np.isin(self._mended.numbers, numbers))

    # -- asking -----------------------------------------------------------------------------

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Return the k nearest people of each query, best first."""
        return self._view.search(queries, k, rule, among)

    @property
    def serves(self) -> str:
        """The kind of index that proposes; "flat" where search is exact."""
        return FLAT if self._approximate is None else self._approximate.kind

    def count(self) -> int:
        """Return how many entries searches see."""
        return sum(int((part.entries.owners >= 0).sum()) for part in self._view.parts)

    def last(self) -> int:
        """Return the largest number there was; 0 without any."""
        for entries in (self._tail.entries(), self._snapshot.entries):
            if len(entries.numbers):
                return int(entries.numbers[-1])
        return 0

    def iterate(self) -> Iterator[Entries]:
        """Yield the entries that searches see, some at a time."""
        for part in self._view.parts:
            for start in range(0, len(part.entries.numbers), _AT_ONCE):
                some = part.entries.rows(slice(start, start + _AT_ONCE))
                yield some.rows(some.owners >= 0)

    def close(self) -> None:
        """Let go of the mapped files."""
        self.create(self._snapshot.entries.vectors.shape[1])
