"""Threads that share a gallery: no error, and nothing removed is ever answered."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index import upkeep

SEARCHING, PEOPLE, ROUNDS = 8, 60, 12


@pytest.fixture(autouse=True)
def _busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that take turns often, and an index that is written often."""
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Together:
    """Threads of which every error is kept."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def begin(self, do: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                do()
            except BaseException as error:
                self.errors.append(error)

        self._threads.append(threading.Thread(target=guarded))
        self._threads[-1].start()

    def end(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("index", ["auto", "HNSW8"])
def test_searches_beside_purge_and_rebuild(empty: Gallery, units: Callable, index: str) -> None:
    vectors = units(PEOPLE * 10)
    names = [f"p{row // 10}" for row in range(len(vectors))]
    empty.enroll(vectors, names, fingerprint="model-1")
    empty.rebuild(index)
    gone: set[str] = set()
    answered: list[str] = []
    stop, together, searching = threading.Event(), Together(), Together()

    def search(row: int) -> None:
        while not stop.is_set():
            before = set(gone)
            row = (row + 7) % len(vectors)
            answer = empty.search(vectors[row], 3, fingerprint="model-1")[0]
            answered.extend(c.person for c in answer.candidates if c.person in before)

    def remove() -> None:
        for each in range(ROUNDS * 2):
            empty.remove(f"p{each}")
            gone.add(f"p{each}")

    def enroll() -> None:
        for each in range(ROUNDS):
            more = units(30, seed=each + 1)
            empty.enroll(more, f"new {each}", fingerprint="model-1", conflicts="ignore")

    def repeat(do: Callable[[], object], times: int) -> Callable[[], None]:
        return lambda: [do() for _ in range(times)] and None

    for row in range(SEARCHING):
        searching.begin(lambda row=row: search(row))
    for change in (remove, enroll, repeat(empty.purge, 4), repeat(empty.purge, 4)):
        together.begin(change)
    together.begin(repeat(empty.rebuild, 4))
    together.begin(repeat(empty.check, 3))
    together.end()
    stop.set()
    searching.end()
    assert together.errors + searching.errors == []
    assert answered == []
    empty.purge()
    assert empty.check() == []
    with Gallery.open(empty.path) as other:
        assert not gone & {person for person, _ in other.people()}


def test_an_index_that_is_about_to_be_written_can_be_waited_for(
    gallery: Gallery, units: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread purges between the making of the index's thread and its start."""
    gallery._index.wait()
    real, waiting = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread._target is upkeep._write and not waiting:  # type: ignore[attr-defined]
            waiting.append(threading.Thread(target=gallery._index.wait))
            real(waiting[0])
            waiting[0].join(0.1)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    gallery.enroll(units(90, seed=9), "new", fingerprint="model-1")
    waiting[0].join()
    assert raised == []


def test_no_thread_writes_the_index_while_it_is_made_again(
    gallery: Gallery, units: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that began to read before a purge would keep the store's log from being emptied."""
    real = gallery._store.purge
    alive = []

    def purge() -> None:
        gallery._index.settle()
        alive.append(gallery._index._is_writing())
        real()

    gallery.enroll(units(90, seed=9), "new", fingerprint="model-1")
    gallery._index.wait()
    (gallery.path / snapshots.FILE).unlink()
    monkeypatch.setattr(gallery._store, "purge", purge)
    gallery.purge()
    assert alive == [False]
    assert gallery.check() == []


def test_a_thread_that_cannot_be_had_undoes_no_change(
    gallery: Gallery,
    units: Callable,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gallery._index.wait()
    monkeypatch.setattr(threading.Thread, "start", none)
    assert gallery.enroll(units(90, seed=9), "new", fingerprint="model-1").images == 90
    assert "warning: the index of" in capsys.readouterr().err
