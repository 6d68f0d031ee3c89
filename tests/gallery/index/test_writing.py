"""Which files of the index are written when, what they hold, and who may write."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from facever.core.files import alone
from facever.errors import GalleryError
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index import state as states
from facever.gallery.index import writing as writes
from facever.gallery.index.sealed import said_by
from facever.gallery.index.snapshot import Snapshot
from facever.gallery.index.writing import LOCK, is_due, write_index
from facever.gallery.records import Settings
from facever.gallery.store.store import Store


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    monkeypatch.setattr(states, "AT_ONCE", 7)


@pytest.fixture
def asks(monkeypatch):
    def ask(kind: str) -> None:
        monkeypatch.setattr(Store, "settings", Settings(index=kind))

    ask("flat")
    return ask


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith((".index", "index")))


def living(store: Store) -> dict[int, bytes]:
    numbers, _, vectors, _ = store.entries_after(0)
    return {int(number): v.tobytes() for number, v in zip(numbers, vectors, strict=True)}


def held(store: Store) -> dict[int, bytes]:
    entries = Snapshot.read(store.folder / snapshots.FILE).entries
    return {int(n): v.tobytes() for n, v in zip(entries.numbers, entries.vectors, strict=True)}


def test_a_snapshot_is_written_when_it_is_far_behind(store, add, units, asks) -> None:
    asks("flat")
    add(store, units(10), list("abcdefghij"))
    assert not is_due(store)
    write_index(store, 1)
    assert files(store.folder) == [LOCK]
    assert (store.folder / LOCK).stat().st_mode & 0o777 == 0o600
    add(store, units(40, seed=1), [f"p{i}" for i in range(40)])
    assert is_due(store)
    write_index(store, 1)
    assert not is_due(store)
    assert held(store) == living(store)
    add(store, units(10, seed=2), ["late"] * 10)
    store.remove("a")
    assert not is_due(store)
    before = held(store)
    write_index(store, 1)
    assert held(store) == before
    add(store, units(2, seed=3), ["later"] * 2)
    assert is_due(store)
    write_index(store, 1)
    assert held(store) == living(store) != before
    for person in [f"p{i}" for i in range(15)]:  # fewer are as far behind as more
        store.remove(person)
    assert is_due(store)
    write_index(store, 1)
    assert held(store) == living(store)


def test_anew_is_from_the_store_alone(store, add, units, asks, monkeypatch) -> None:
    asks("HNSW8")
    add(store, units(30), [f"p{i}" for i in range(30)])
    write_index(store, 1)
    gone = store.entries_after(0)[2][3].tobytes()
    store.remove("p3")
    folder = store.folder
    killed = [folder / ".index.dead.tmp.snapshot", folder / ".index.dead.tmp.faiss"]
    for path in killed:
        path.write_bytes(gone)
    assert any(gone in (folder / name).read_bytes() for name in files(folder))
    monkeypatch.setattr(Snapshot, "read", classmethod(_only_new(Snapshot.read.__func__)))
    write_index(store, 1, anew=True)
    assert files(folder) == [approximates.FILE, LOCK, snapshots.FILE]
    for name in files(folder):
        assert gone not in (folder / name).read_bytes()
    assert held(store) == living(store)


def _only_new(read):
    """Snapshots that were written before are not to be read."""
    begun = time.time_ns()

    def checked(cls, path: Path) -> Snapshot:
        assert path.stat().st_mtime_ns >= begun
        return read(cls, path)

    return checked


def test_the_approximate_index_follows_what_is_wanted(store, add, units, asks, capsys) -> None:
    folder = store.folder
    asks("IVF2,Flat")
    write_index(store, 1, anew=True)
    assert files(folder) == [LOCK, snapshots.FILE]  # of nothing there is no index
    assert not is_due(store)
    (folder / snapshots.FILE).unlink()
    add(store, units(5), ["few"] * 5)
    assert not is_due(store)  # without a snapshot there is nothing to index
    add(store, units(200, seed=1), [f"p{i}" for i in range(200)])
    assert is_due(store)
    write_index(store, 1)
    path = folder / approximates.FILE
    first = said_by(path)
    assert (first["kind"], first["asked"], first["count"]) == ("IVF2,Flat", "IVF2,Flat", 205)
    assert not is_due(store)
    asks("HNSW8")
    assert is_due(store)
    write_index(store, 1)
    assert said_by(path)["kind"] == "HNSW8"
    add(store, units(30, seed=2), ["more"] * 30)
    assert is_due(store)
    write_index(store, 1)
    assert said_by(path)["count"] == 235
    path.unlink()
    assert is_due(store)
    asks("auto")
    assert not is_due(store)
    asks("flat")
    assert not is_due(store)
    path.write_bytes(b"left over")
    assert is_due(store)
    write_index(store, 1)
    assert files(folder) == [LOCK, snapshots.FILE]
    capsys.readouterr()


def test_what_cannot_be_trained_is_not_tried_again_and_again(
    store, add, units, asks, capsys
) -> None:
    asks("IVF500,Flat")
    add(store, units(40), [f"p{i}" for i in range(40)])
    write_index(store, 1)
    assert "needs at least 500 gallery vectors to train; there are 40" in capsys.readouterr().err
    assert not is_due(store)
    add(store, units(11, seed=1), ["more"] * 11)
    assert is_due(store)


@pytest.mark.parametrize("name", [snapshots.FILE, approximates.FILE])
def test_a_damaged_file_is_written_again_though_nothing_changed(
    store, add, units, asks, name: str
) -> None:
    asks("HNSW8")
    add(store, units(40), [f"p{i}" for i in range(40)])
    write_index(store, 1)
    path = store.folder / name
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    write_index(store, 1)
    assert path.read_bytes() == whole


def test_one_writes_at_a_time(store, add, units, asks) -> None:
    add(store, units(30), [f"p{i}" for i in range(30)])
    folder = store.folder
    other = ExitStack()
    other.enter_context(alone(folder / LOCK, BlockingIOError()))
    with pytest.raises(GalleryError) as refusal:
        write_index(store, 0.05, anew=True)
    assert str(refusal.value) == (
        f"{folder}: another process is writing the index (waited 0.05 s); try again"
    )
    assert files(folder) == [LOCK]
    release = threading.Timer(0.2, other.close)
    release.start()
    write_index(store, 20, anew=True)
    release.join()
    assert held(store) == living(store)


def test_the_state_written_is_whole_though_others_write_meanwhile(
    store, store_place, add, units, asks, indexed
) -> None:
    """Another process enrolls while the snapshot is written: it has none of it, the tail all."""
    add(store, units(30), [f"p{i}" for i in range(30)])
    other = Store.open(store_place, 1)
    real, done = Store.entries_after, []

    def slow(self, *given):
        if self is store and not done:
            done.append(other)
            store_add(other)
        return real(self, *given)

    def store_add(writer):
        add(writer, units(5, seed=3), ["meanwhile"] * 5)
        writer.remove("p1")

    patched = pytest.MonkeyPatch()
    patched.setattr(Store, "entries_after", slow)
    write_index(store, 1, anew=True)
    patched.undo()
    assert len(held(store)) == 30
    parts = [part.entries for part in indexed(store).refresh().parts]
    everything = np.concatenate([some.numbers[some.owners >= 0] for some in parts])
    assert everything.tolist() == sorted(living(store))
    assert len(everything) == 34
    other.close()


def test_nothing_of_another_generation_is_taken_over(store, add, units) -> None:
    """Templates take the place of images, under numbers that images had."""
    add(store, units(60), [f"p{i % 20}" for i in range(60)])
    write_index(store, 1)
    store.set_templates("mean")
    assert is_due(store)
    write_index(store, 1)
    assert len(held(store)) == 20
    assert held(store) == living(store)


def test_nobody_begins_while_one_is_writing(store, add, units, asks, monkeypatch) -> None:
    asks("flat")
    add(store, units(30), [f"p{i}" for i in range(30)])
    real, refused = writes.write_snapshot, []

    def meanwhile(*given: object) -> None:
        with pytest.raises(GalleryError, match="another process is writing the index"):
            write_index(store, 0.05)
        refused.append(True)
        real(*given)

    monkeypatch.setattr(writes, "write_snapshot", meanwhile)
    write_index(store, 1)
    assert refused == [True]
