"""Threads that share a gallery: no error, and nothing removed is ever answered."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.index import index as indexes
from facever.gallery.index import snapshot as snapshots

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
def test_searches_beside_purge_and_rebuild(
    empty: Gallery, place, units: Callable, index: str
) -> None:
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
    with Gallery.open(place) as other:
        assert not gone & {person for person, _ in other.people()}


def test_an_index_that_is_about_to_be_written_can_be_waited_for(
    gallery: Gallery, units: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread purges between the making of the index's thread and its start."""
    gallery._index.wait()
    real, waiting = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread._target is indexes._write and not waiting:  # type: ignore[attr-defined]
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
    gallery: Gallery, index_folder: Path, units: Callable, monkeypatch: pytest.MonkeyPatch
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
    (index_folder / snapshots.FILE).unlink()
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


SOAK = Path(__file__).parents[2] / "tools" / "soak" / "gallery_threads.py"


@pytest.mark.slow
def test_the_soak_goes_on_where_it_stopped(tmp_path: Path) -> None:
    words = [sys.executable, str(SOAK), "--out", str(tmp_path), "--round-seconds", "1"]
    for rounds in ("1", "2"):
        done = subprocess.run([*words, "--rounds", rounds], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["rounds"], found["faults"]) == (int(rounds), [])
    assert found["done"]["search"] > 0
    assert found["done"]["purge"] > 0
    other = subprocess.run([*words, "--seed", "1"], capture_output=True, text=True)
    assert "was made with other settings" in other.stderr


@pytest.mark.in_folder("the soak is of folders; of servers: tools/soak/postgres.py")
def test_the_soak_sees_somebody_who_was_removed(
    empty: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SOAK.parent))
    import gallery_threads as soak

    with Gallery.create(
        empty.path.with_name("soak"), fingerprint=soak.MODEL, dimension=soak.DIMENSION
    ) as gallery:
        done = soak.Round(gallery, 0, soak.stream(0, "test"))
        done.run(0.1)
        assert done.faults == []
        left = done.living[0]
        assert soak.judge(gallery, done) == []
        done.gone, done.living = [left], [left]
        with pytest.raises(AssertionError, match="was removed and is answered"):
            done.search()
        assert f"{left} was removed and is there" in soak.judge(gallery, done)
