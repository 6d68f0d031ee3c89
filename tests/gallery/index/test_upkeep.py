"""The index of an open gallery: what is opened when, and what is written in the background."""

from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.index import approximate as approximates
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index import upkeep as room
from facever.gallery.index.sealed import said_by
from facever.gallery.index.snapshot import count_in
from facever.gallery.index.upkeep import KeptIndex
from facever.gallery.index.writing import write_index


@pytest.fixture
def kept(store, monkeypatch):
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    index = KeptIndex(store, 1)
    yield index
    index.close()


def found(kept: KeptIndex, queries: np.ndarray, k: int = 3) -> int:
    return int((kept.search(queries, k, "max")[1] >= 0).sum())


def test_what_is_far_behind_is_written_beside_the_work(kept, store, add, units) -> None:
    path = store.path.with_name(snapshots.FILE)
    add(store, units(10), list("abcdefghij"))
    kept.settle()
    kept.wait()
    assert not path.exists()
    add(store, units(1), ["k"])
    kept.settle()
    kept.wait()
    assert count_in(path) == 11
    assert found(kept, units(2)) == 6
    first = kept._engine
    add(store, units(3), ["l", "m", "n"])
    assert found(kept, units(2), k=20) == 28
    assert kept._engine is first
    add(store, units(9), ["o"] * 9)
    kept.settle()
    kept.wait()
    assert found(kept, units(2), k=20) == 30
    assert kept._engine is not first  # the tail is in the snapshot now
    assert kept._engine._tail.count == 0


def test_the_kind_wanted_serves_as_soon_as_it_is_written(kept, store, add, units, capsys) -> None:
    store.set_index("HNSW8")
    add(store, units(5), list("abcde"))
    assert found(kept, units(1), k=9) == 5
    assert kept.serves() == "flat"
    kept.wait()
    add(store, units(40, seed=1), [f"p{i}" for i in range(40)])
    kept.settle()
    assert found(kept, units(1), k=99) == 45
    kept.wait()
    assert kept.serves() == "HNSW8"
    assert found(kept, units(1), k=99) == 45
    store.set_index("flat")
    assert kept.serves() == "flat"
    kept.wait()
    assert not store.path.with_name(approximates.FILE).exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [snapshots.FILE, approximates.FILE])
def test_a_damaged_file_is_said_and_made_again(kept, store, add, units, capsys, name) -> None:
    store.set_index("HNSW8")
    vectors = units(1100)
    add(store, vectors, [f"p{i}" for i in range(1100)])
    write_index(store, 1)
    path: Path = store.path.with_name(name)
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 8]) + whole[51:])
    assert np.allclose(kept.search(vectors[:5], 1, "max")[0], 1, atol=1e-6)
    kept.wait()
    said = capsys.readouterr().err
    assert said.startswith(f"{path} is damaged: ")
    assert said.count("\n") == 1
    assert path.stat().st_size == len(whole)
    assert kept.serves() == "HNSW8"
    assert capsys.readouterr().err == ""


def test_renewing_leaves_nothing_old_and_answers_from_the_new(kept, store, add, units) -> None:
    store.set_index("IVF2,Flat:nprobe=2")
    add(store, units(60), [f"p{i}" for i in range(60)])
    kept.renew()
    assert found(kept, units(1), k=99) == 60
    gone = units(60)[7].tobytes()
    folder = store.path.parent
    store.remove("p7")
    assert found(kept, units(1), k=99) == 59
    for name in (snapshots.FILE, approximates.FILE):
        assert gone in (folder / name).read_bytes()
    kept.renew()
    for name in (snapshots.FILE, approximates.FILE):
        assert gone not in (folder / name).read_bytes()
        assert said_by(folder / name)["count"] == 59
    assert kept.serves() == "IVF2,Flat:nprobe=2"
    assert found(kept, units(1), k=99) == 59


def test_renewing_that_fails_is_said_in_one_line(kept, store, add, units, monkeypatch) -> None:
    add(store, units(3), list("abc"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facever.gallery.index.writing.write_snapshot", full)
    with pytest.raises(GalleryError) as refusal:
        kept.renew()
    assert str(refusal.value) == (
        f"{store.path.parent}: the index was not written: [Errno 28] No space left on device"
    )
    assert found(kept, units(1)) == 3


def test_a_gallery_that_cannot_be_written_is_searched_without_a_word(
    kept, store, add, units, capsys, monkeypatch
) -> None:
    add(store, units(40), [f"p{i}" for i in range(40)])
    store.read_only = True
    writes: list[object] = []
    monkeypatch.setattr(room, "write_index", lambda *given: writes.append(given))
    kept.settle()
    assert found(kept, units(1)) == 3
    kept.wait()
    assert writes == []
    assert capsys.readouterr().err == ""


def test_what_is_too_little_to_train_is_said_and_searched_flat(
    kept, store, add, units, capsys
) -> None:
    store.set_index("IVF64,Flat")
    add(store, units(40), [f"p{i}" for i in range(40)])
    kept.renew()
    said = (
        "index 'IVF64,Flat' needs at least 64 gallery vectors to train; there are 40: searched "
        "flat until then\n"
    )
    assert capsys.readouterr().err == said
    assert found(kept, units(1), k=50) == 40
    assert capsys.readouterr().err == said
    add(store, units(40, seed=1), [f"q{i}" for i in range(40)])
    kept.settle()
    kept.wait()
    assert kept.serves() == "IVF64,Flat"
    assert "was trained on 80 vectors" in capsys.readouterr().err


def test_it_is_written_until_it_has_caught_up(store, monkeypatch) -> None:
    writes, due = [], iter([True, True, False])
    monkeypatch.setattr(room, "write_index", lambda *given: writes.append(given))
    monkeypatch.setattr(room, "is_due", lambda _: next(due))
    room._write(store.path.parent, 1)
    assert len(writes) == 3
