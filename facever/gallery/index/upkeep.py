"""Keeps a gallery's index: opened when first asked, written anew off the writer's path."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from facever.core.console import warn
from facever.errors import FaceverError, GalleryError
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.embedded import EmbeddedEngine
from facever.gallery.index.engine import Scores
from facever.gallery.index.index import Index
from facever.gallery.index.sealed import stamp_of
from facever.gallery.index.writing import is_due, write_index
from facever.gallery.records import Keys, Vectors
from facever.gallery.store.store import Store
from facever.operating_point import ScoreRule

_Files = tuple[str, tuple[int, int, int] | None, tuple[int, int, int] | None]


class KeptIndex:
    """The index of an open gallery. Threads may share one.

    Args:
        store: What the index follows.
        wait: Seconds to wait for a writer.
    """

    def __init__(self, store: Store, wait: float) -> None:
        self._store, self._wait = store, wait
        self._folder = store.path.parent
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._engine: EmbeddedEngine | None = None
        self._files: _Files | None = None
        self._renewing = threading.RLock()  # by one thread at a time
        self._upkeep = threading.Lock()  # of what follows; it is held for moments only
        self._writing: threading.Thread | None = None
        self._held_off = 0  # how many want no thread to write

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Search as an `Engine` does, with what is in the store now."""
        index = self._current()
        found = index.search(queries, k, rule, among)
        self._heal(index)
        return found

    def forget_people(self, people: Keys) -> None:
        """Take the entries of people from the store again: those that are not there go."""
        index = self._current()
        owned = [some.numbers[np.isin(some.owners, people)] for some in index.engine.iterate()]
        index.mend(np.concatenate([np.empty(0, np.int64), *owned]))
        self._heal(index)

    def _heal(self, index: Index) -> None:
        """Write the index anew where entries of it were found to be damaged."""
        if index.mended:
            index.mended = False
            if not self._store.read_only:
                self._write(anew=True)

    def serves(self) -> str:
        """Return the kind of index that answers now: "flat" or a factory string."""
        self._current()
        assert self._engine is not None
        return self._engine.serves

    def settle(self) -> None:
        """Begin to write the index when the store has left it behind.

        This follows a change that was made: what goes wrong here is a warning.
        """
        try:
            if not self._store.read_only and is_due(self._store):
                self._write()
        except (FaceverError, OSError) as error:
            _warn_unwritten(self._folder, error)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Let no thread of this gallery write the index, after one that writes now is done."""
        with self._upkeep:
            self._held_off += 1
        try:
            self.wait()
            yield
        finally:
            with self._upkeep:
                self._held_off -= 1

    def renew(self) -> None:
        """Write the index anew from the store alone, and return when nothing old is left of it.

        Raises:
            GalleryError: Another process keeps writing the index, or it cannot be written.
        """
        with self._renewing, self.held_off():
            with self._lock:
                self._index = self._engine = None
            store = Store.open(self._folder, self._wait)
            try:
                write_index(store, self._wait, anew=True)
            except OSError as error:
                raise GalleryError(f"{self._folder}: the index was not written: {error}") from error
            finally:
                store.close()

    def wait(self) -> None:
        """Wait for an index that is being written."""
        with self._upkeep:
            writing = self._writing
        if writing is not None:
            writing.join()

    def close(self) -> None:
        """Wait for an index that is being written, and let no other be."""
        with self._upkeep:
            self._held_off += 1
        self.wait()

    def _current(self) -> Index:
        """Return the index, opened again when other files took the place of its own."""
        with self._lock:
            files = self._found()
            if self._index is None or files != self._files:
                self._files = files
                few = self._store.entry_count() <= snapshots.allowed_lag(0)
                fixed = self._store.read_only
                self._engine = EmbeddedEngine(
                    self._folder, files[0], begins=few or fixed or self._is_writing()
                )
                self._index = Index(self._store, self._engine)
                self._index.refresh()
                if not fixed and (self._engine.unusable or is_due(self._store)):
                    self._write()
            return self._index

    def _found(self) -> _Files:
        """Return the kind of index wanted, and what tells the files there from later ones."""
        names = (snapshots.FILE, approximates.FILE)
        first, second = (stamp_of(self._folder / name) for name in names)
        return self._store.settings.index, first, second

    def _is_writing(self) -> bool:
        with self._upkeep:
            return self._writing is not None and self._writing.is_alive()

    def _write(self, anew: bool = False) -> None:
        """Let a thread write the index, unless one does or none may."""
        with self._upkeep:
            if self._held_off or (self._writing is not None and self._writing.is_alive()):
                return
            writing = threading.Thread(target=_write, args=(self._folder, self._wait, anew))
            try:
                writing.start()
            except RuntimeError as error:  # no more threads can be had
                _warn_unwritten(self._folder, error)
            else:
                self._writing = writing  # one that has started: others may join it


def _write(folder: Path, wait: float, anew: bool = False) -> None:
    """Write the index, and again for as long as the store leaves it behind meanwhile.

    What goes wrong is said and costs nothing but speed: the store has everything.
    """
    try:
        store = Store.open(folder, wait)
        try:
            write_index(store, wait, anew)
            while is_due(store):
                write_index(store, wait)
        finally:
            store.close()
    except Exception as error:
        _warn_unwritten(folder, error)


def _warn_unwritten(folder: Path, error: Exception) -> None:
    warn(f"the index of {folder} was not written ({error}); searching works without it")
