"""Keeps a gallery's index: opened when first asked, written anew off the writer's path."""

import threading
from pathlib import Path

from facever.console import warn
from facever.errors import FaceverError
from facever.evaluation.operating_point import ScoreRule
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.index import Index, Scores
from facever.gallery.records import Keys, Vectors
from facever.gallery.store.store import Store


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
        self._writing: threading.Thread | None = None

    def search(self, queries: Vectors, k: int, rule: ScoreRule) -> tuple[Scores, Keys]:
        """Search as `Index.search` does, with what is in the store now."""
        with self._lock:
            if self._index is None:
                self._index = Index(self._store, begins=self._is_writing())
                self._index.refresh()
                if self._index.wants_snapshot:
                    self._write_snapshot()
        return self._index.search(queries, k, rule)

    def settle(self) -> None:
        """Begin a new snapshot when the store has left the present one behind."""
        if _is_behind(self._store):
            with self._lock:
                self._write_snapshot()

    def close(self) -> None:
        """Wait for a snapshot that is being written."""
        if self._writing is not None:
            self._writing.join()

    def _is_writing(self) -> bool:
        return self._writing is not None and self._writing.is_alive()

    def _write_snapshot(self) -> None:
        if not self._is_writing():
            self._writing = threading.Thread(target=_write, args=(self._folder, self._wait))
            self._writing.start()


def _is_behind(store: Store) -> bool:
    had = snapshots.count_in(store.path.with_name(snapshots.FILE))
    return abs(store.counts()[1] - had) > snapshots.allowed_lag(had)


def _write(folder: Path, wait: float) -> None:
    """Write a snapshot, and again for as long as the store leaves it behind meanwhile.

    What goes wrong is said and costs nothing but speed: the store has everything.
    """
    try:
        store = Store.open(folder, wait)
        try:
            Index(store, begins=True).write()
            while _is_behind(store):
                Index(store, begins=True).write()
        finally:
            store.close()
    except (OSError, FaceverError) as error:
        warn(f"the index of {folder} was not written ({error}); searching works without it")
