"""The search index of a store: it applies every change, and a thread writes it to files."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from facever.core.console import say, warn
from facever.errors import FaceverError, GalleryError
from facever.gallery.image_filters import ImageFilter
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.contents import Contents
from facever.gallery.index.in_database import search_in_database
from facever.gallery.index.kinds import FLAT, resolved
from facever.gallery.index.scans import DamagedError
from facever.gallery.index.sealed import SealError, stamp_of
from facever.gallery.index.snapshot import Snapshot, allowed_lag, codes_size
from facever.gallery.index.state import State
from facever.gallery.index.view import View
from facever.gallery.index.writing import is_due, write_index
from facever.gallery.pgvector import is_pgvector
from facever.gallery.records import Keys, Scores, Vectors
from facever.gallery.store.entry_search import SearchTableError
from facever.gallery.store.store import Store
from facever.operating_point import ScoreRule

_ATTEMPTS = 5  # of a search while others make anew what it reads
_Files = tuple[str, tuple[int, int, int] | None, tuple[int, int, int] | None]


class Index:
    """The search index of an open store. Threads may share one.

    The first search opens its files: a snapshot of the store's entries and, for some kinds, an
    approximate index. Later changes of the store are kept in memory; after many changes, a thread
    writes the files again.

    Args:
        store: The store that the index is derived from.
        wait: Seconds to wait for another process that writes the index.
    """

    def __init__(self, store: Store, wait: float) -> None:
        self._store, self._wait = store, wait
        self._folder = store.folder
        self._contents: Contents | None = None  # used within `reading`, by one thread at a time
        self._files: _Files | None = None
        self._renewing = threading.RLock()  # by one thread at a time
        self._upkeep = threading.Lock()  # for the next two attributes; held only briefly
        self._writing: threading.Thread | None = None
        self._held_off = 0  # number of callers that block writing

    # -- searching --------------------------------------------------------------------------

    def search(
        self,
        queries: Vectors,
        k: int,
        rule: ScoreRule,
        among: Keys | None = None,
        view: View | None = None,
        images: ImageFilter | None = None,
    ) -> tuple[Scores, Keys]:
        """Return the k best people for each query, by the current entries of the store.

        Scores are `pair_cosines` of vectors verified in this search, for every kind of index. A
        damaged entry is read from the store again, and the index is rebuilt; an entry that is also
        damaged in the store is omitted.

        Args:
            queries: float32 [Q, D], unit rows.
            k: Number of people, at least 1.
            rule: A person's score is the maximum ("max") or the mean ("mean") of the cosine
                similarities over their entries.
            among: Only these people, int64 [P]; all by default.
            view: The result of `refresh`, with the same images; by default it is called.
            images: Only these images; all by default. The entries must be images.

        Returns:
            Scores float32 [Q, k] and people's keys int64 [Q, k], best first; if there are fewer
            than k people, -inf and -1.
        """
        mended = np.empty(0, np.int64)
        while True:
            view = view or self.refresh(images)
            if view is None:
                return self._searched_there(queries, k, rule, among, images)
            try:
                return view.search(queries, k, rule, among)
            except DamagedError as damaged:
                self._mend(damaged.numbers, skip=mended)  # omitted the second time
                mended, view = np.union1d(mended, damaged.numbers), None

    @property
    def _in_database(self) -> bool:
        """Whether the database searches: then there are no files, and nothing is in memory."""
        return is_pgvector(self._store.settings.index)

    def _searched_there(
        self,
        queries: Vectors,
        k: int,
        rule: ScoreRule,
        among: Keys | None,
        images: ImageFilter | None,
    ) -> tuple[Scores, Keys]:
        """Search in the database; make anew what it needs for that, if it is missing."""
        self._forget_files()
        for attempt in range(_ATTEMPTS):
            try:
                return search_in_database(self._store, queries, k, rule, among, images)
            except SearchTableError as error:  # another process makes it, or it is lost
                if attempt == 0:
                    continue
                if self._store.read_only:
                    raise GalleryError(
                        f"{error}: run 'facever gallery rebuild' as the owner of the gallery"
                    ) from error
                self._store.remake_search()
        raise GalleryError(
            f"{self._store.name}: others keep making the table for pgvector anew; try again"
        )

    def _forget_files(self) -> None:
        """Delete the files of an earlier kind of index."""
        with self._store.reading():
            self._contents = self._files = None
            for name in (snapshots.FILE, approximates.FILE):
                (self._folder / name).unlink(missing_ok=True)

    def refresh(self, images: ImageFilter | None = None) -> View | None:
        """Return the current entries of the store for a search; None if the database searches.

        The index's files are opened at the first call, and after they were replaced.

        Args:
            images: Only these images, of the same state of the store.
        """
        with self._store.reading():  # the whole: each transaction costs network round trips
            if self._in_database:
                return None
            files, usable = self._found(), True
            opens = files != self._files
            contents = self._contents
            if opens or contents is None or not contents.state.is_of(self._store):
                contents = self._contents = None  # frees its memory first
                contents, usable = self._opened(files[0])
                self._contents, self._files = contents, files
            try:
                contents.refresh(self._store)
            except BaseException:
                self._contents = None  # it may have entries of changes that are lost later
                raise
            view = contents.view
            if images is not None:
                view = view.only(self._store.images_matching(images)[0])
            if opens and self._store.index_writable and (not usable or is_due(self._store)):
                self._write()
            return view

    def screen(self) -> dict[str, int] | None:
        """Return the bytes of the int8 copy for exact search, and the probes that it screened and
        that were compared with every vector instead, since the files were opened; None without it.
        """
        size = codes_size(self._folder / snapshots.FILE)
        if not size or self._in_database:
            return None
        with self._store.reading():
            screen = None if self._contents is None else self._contents.screen
        searched, fallbacks = (0, 0) if screen is None else (screen.searched, screen.fallbacks)
        return {"bytes": size, "searched": searched, "fallbacks": fallbacks}

    def forget_people(self, people: Keys) -> None:
        """Read the entries of some people from the store again; remove people who are not in it."""
        view = self.refresh()
        if view is not None:  # the database has no other people than the store
            self._mend(view.numbers_of(people))

    def _mend(self, numbers: Keys, skip: Keys | None = None) -> None:
        """Read damaged entries from the store again, and rebuild the index.

        Args:
            numbers: Numbers of the entries. Those also damaged in the store are removed.
            skip: Numbers of entries to remove in any case.
        """
        if not len(numbers):
            return
        with self._store.reading():
            contents = self._contents
            if contents is not None and contents.state.is_of(self._store):
                kept = numbers if skip is None else np.setdiff1d(numbers, skip)
                contents.mend(numbers, self._store.entries_numbered(kept.tolist()))
        if self._store.index_writable:
            self._write(anew=True)

    # -- reading files ----------------------------------------------------------------------

    def _found(self) -> _Files:
        """Return the index setting and the stamps that change when a file is replaced."""
        names = (snapshots.FILE, approximates.FILE)
        first, second = (stamp_of(self._folder / name) for name in names)
        return self._store.settings.index, first, second

    def _opened(self, kind: str) -> tuple[Contents, bool]:
        """Return the contents of the files, and whether none of them must be written again."""
        path = self._folder / snapshots.FILE
        try:
            snapshot = Snapshot.read(path, lambda state: state.is_of(self._store))
        except SealError as error:
            usable = self._is_expected(error, f"{path} is {error}: it is rebuilt from the store")
            return Contents.empty(State.of(self._store)), usable
        path = self._folder / approximates.FILE
        size, dimension = snapshot.entries.vectors.shape
        if kind == FLAT or (resolved(kind, size, dimension) == FLAT and not path.exists()):
            return Contents(snapshot, Approximate.flat_on_gpu(snapshot)), True
        try:
            approximate = Approximate.read(
                path, kind, snapshot, lambda state: state.is_of(self._store)
            )
        except SealError as error:
            said = f"{path} is {error}: it is rebuilt; until then search is exact"
            return Contents(snapshot), self._is_expected(error, said)
        if isinstance(approximate, str):
            say(approximate)
            return Contents(snapshot), True
        return Contents(snapshot, approximate), True

    def _is_expected(self, error: SealError, message: str) -> bool:
        """Return whether a missing file need not exist yet; otherwise print a message."""
        if str(error) == "missing" and (
            self._is_writing()
            or not self._store.index_writable
            or self._store.folder_is_temporary
            or self._store.entry_count() <= allowed_lag(0)
        ):
            return True
        say(message)
        return False

    # -- writing files ----------------------------------------------------------------------

    def settle(self) -> None:
        """Start writing the index if it is too far behind the store.

        It runs after a completed change: an error here is only a warning.
        """
        try:
            if self._store.index_writable and is_due(self._store):
                self._write()
        except (FaceverError, OSError) as error:
            _warn_unwritten(self._folder, error)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Wait for a thread that writes the index, and block others meanwhile."""
        with self._upkeep:
            self._held_off += 1
        try:
            self.wait()
            yield
        finally:
            with self._upkeep:
                self._held_off -= 1

    def renew(self) -> None:
        """Rebuild the index from the store only; nothing of the old files remains.

        Raises:
            GalleryError: Another process keeps writing the index, or it cannot be written.
        """
        with self._renewing, self.held_off():
            if self._in_database:
                self._forget_files()
                return
            with self._store.reading():
                self._contents = self._files = None
            with closing(self._store.again()) as store:
                try:
                    write_index(store, self._wait, anew=True)
                except OSError as error:
                    raise GalleryError(
                        f"{self._folder}: the index was not written: {error}"
                    ) from error

    def wait(self) -> None:
        """Wait for a thread that writes the index."""
        with self._upkeep:
            writing = self._writing
        if writing is not None:
            writing.join()

    def close(self) -> None:
        """Wait for a thread that writes the index, and block others."""
        with self._upkeep:
            self._held_off += 1
        self.wait()

    def _is_writing(self) -> bool:
        with self._upkeep:
            return self._writing is not None and self._writing.is_alive()

    def _write(self, anew: bool = False) -> None:
        """Start a thread that writes the index, unless one is running or writing is blocked."""
        with self._upkeep:
            if self._held_off or (self._writing is not None and self._writing.is_alive()):
                return
            writing = threading.Thread(target=_write, args=(self._store, self._wait, anew))
            try:
                writing.start()
            except RuntimeError as error:  # no more threads available
                _warn_unwritten(self._folder, error)
            else:
                self._writing = writing  # started: others may join it


def _write(store: Store, wait: float, anew: bool = False) -> None:
    """Write the index, and repeat while the store has changed too much meanwhile.

    An error is only a warning: the store has all data, and search is only slower.
    """
    try:
        with closing(store.again()) as own:
            write_index(own, wait, anew)
            while is_due(own):
                write_index(own, wait)
    except Exception as error:
        _warn_unwritten(store.folder, error)


def _warn_unwritten(folder: Path, error: Exception) -> None:
    warn(f"the index of {folder} was not written ({error}); search works without it")
