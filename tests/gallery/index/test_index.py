"""The index follows its store, whatever changes, and is written in the background."""

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.index import approximate as approximates
from facever.gallery.index import index as room
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index import view as views
from facever.gallery.index.index import Index
from facever.gallery.index.scans import DamagedError
from facever.gallery.index.sealed import said_by
from facever.gallery.index.snapshot import Snapshot, count_in
from facever.gallery.index.state import State
from facever.gallery.index.view import View
from facever.gallery.index.writing import write_index
from facever.gallery.records import Binding, Change
from facever.gallery.store.store import Store


def numbers_in(view: View) -> list[int]:
    """Return the numbers of the entries that a search sees."""
    parts = [part.entries for part in view.parts]
    return sorted(n for some in parts for n in some.numbers[some.owners >= 0].tolist())


def check(index, store, truth: dict, probes, slow_search, rule: str, among=None) -> None:
    """Compare every depth of answer with the slow search over the living images."""
    kept = {p: v for p, v in truth.items() if among is None or p in among}
    vectors = np.concatenate([np.empty((0, 8), np.float32), *kept.values()])
    people = [person for person, some in kept.items() for _ in some]
    ids = store.ids(range(1, 1000))
    keys_of = {person: key for key, person in ids.items()}
    filter_ = None if among is None else np.array([keys_of[p] for p in among], np.int64)
    for k in (1, 3, len(truth), len(truth) + 5):
        scores, keys = index.search(probes, k, rule, filter_)
        assert scores.shape == keys.shape == (len(probes), k)
        assert scores.dtype == np.float32
        for row, probe in enumerate(probes):
            expected = slow_search(vectors, people, probe, rule)[:k]
            found = [
                (ids[key], s) for key, s in zip(keys[row], scores[row], strict=True) if key >= 0
            ]
            assert [person for person, _ in found] == [person for person, _ in expected]
            assert np.allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)
            assert np.isneginf(scores[row, len(found) :]).all()


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("kind", ["flat", "IVF4,SQ8:nprobe=4", "HNSW8"])
def test_every_way_of_changing_gives_the_answers_of_a_slow_search(
    store, add, indexed, units, slow_search, kind: str, rule: str, monkeypatch
) -> None:
    """Additions, removals and index files in a random order, followed by one index throughout."""
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    store.set_index(kind)
    random, truth, probes = np.random.default_rng(5), {}, units(4, seed=99)
    index, actions, proposed = indexed(store), Counter(), 0
    for step in range(25):
        action = random.choice(["add", "add", "add", "remove", "write", "reopen"])
        actions[action] += 1
        if action == "add" or len(truth) < 3:
            people = [f"p{random.integers(20)}" for _ in range(random.integers(1, 12))]
            vectors = units(len(people), seed=step)
            add(store, vectors, people)
            for person, vector in zip(people, vectors, strict=True):
                known = truth.get(person, np.empty((0, 8), np.float32))
                truth[person] = np.vstack([known, vector])
        elif action == "remove":
            person = str(random.choice(sorted(truth)))
            store.remove(person)
            del truth[person]
        elif action == "write":
            write_index(store, 1, anew=bool(random.integers(2)))
        else:
            index = indexed(store)
        check(index, store, truth, probes, slow_search, rule)
        some = [person for person in truth if random.integers(2)]
        check(index, store, truth, probes, slow_search, rule, among=some)
        proposed += index.refresh().kind == kind != "flat"
    assert set(actions) == {"add", "remove", "write", "reopen"}
    assert bool(proposed) == (kind != "flat")


def test_many_images_of_few_people_and_many_removed(
    store, add, indexed, units, slow_search, monkeypatch
) -> None:
    """The best images are all of one person, then all of a removed one."""
    monkeypatch.setattr(views, "_CELLS", 64)
    probes = units(3)
    near = probes[0] + 0.01 * units(300, seed=1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    add(store, near, ["crowd"] * 300)
    others = units(40, seed=2)
    add(store, others, [f"p{i // 2}" for i in range(40)])
    truth = {f"p{i}": others[2 * i : 2 * i + 2] for i in range(20)}
    index = indexed(store)
    check(index, store, {**truth, "crowd": near}, probes, slow_search, "max")
    store.remove("crowd")
    check(index, store, truth, probes, slow_search, "max")


def test_nobody_is_found_in_nothing(store, add, indexed, units) -> None:
    index = indexed(store)
    for rule in ("max", "mean"):
        scores, keys = index.search(units(2), 3, rule)
        assert (keys == -1).all()
        assert np.isneginf(scores).all()
        assert (index.search(units(2), 3, rule, np.empty(0, np.int64))[1] == -1).all()
    add(store, units(1), ["gone"])
    store.remove("gone")
    assert (index.search(units(2), 3, "max")[1] == -1).all()


def test_a_number_is_never_given_twice(store, add, indexed, units) -> None:
    """The newest image goes after the snapshot; the next one must not be taken for it."""
    first, second = units(2)
    add(store, np.stack([first, first]), ["kept", "gone"])
    write_index(store, 1, anew=True)
    store.remove("gone")
    add(store, second[None], ["new"])
    index = indexed(store)
    scores, keys = index.search(second[None], 2, "max")
    ids = store.ids(keys[0].tolist())
    assert [ids[key] for key in keys[0]] == ["new", "kept"]
    assert np.allclose(scores[0], [1, first @ second], atol=1e-6)


def test_only_what_came_since_is_read(store, add, indexed, units, monkeypatch) -> None:
    add(store, units(30), [f"p{i}" for i in range(30)])
    write_index(store, 1, anew=True)
    add(store, units(2, seed=1), ["late", "later"])
    real, read = Store.entries_after, []

    def noted(self, *given):
        entries = real(self, *given)
        read.extend(entries.numbers.tolist())
        return entries

    monkeypatch.setattr(Store, "entries_after", noted)
    index = indexed(store)
    assert len(numbers_in(index.refresh())) == 32
    store.remove("p3")
    add(store, units(1, seed=2), ["last"])
    assert len(numbers_in(index.refresh())) == 32
    assert read == [31, 32, 33]


def test_a_failure_halfway_shows_nothing_and_is_made_good(
    store, add, indexed, units, monkeypatch
) -> None:
    index = indexed(store)
    add(store, units(3), ["a", "b", "c"])
    before = index.refresh()
    store.remove("a")
    add(store, units(3, seed=1), ["d", "e", "f"])
    with monkeypatch.context() as patched:

        def broken(*_: object) -> None:
            raise OSError("the disk reports an error")

        patched.setattr(Store, "entries_removed_after", broken)
        with pytest.raises(OSError, match="the disk reports an error"):
            index.refresh()
        assert numbers_in(before) == [1, 2, 3]
    assert numbers_in(index.refresh()) == [2, 3, 4, 5, 6]
    assert (np.sort(index.search(units(1), 9, "max")[1]) >= 0).sum() == 5


def test_a_damaged_entry_is_taken_from_the_store_again(store, add, indexed, units) -> None:
    add(store, units(5), list("abcde"))
    index = indexed(store)
    right = index.search(units(3, seed=1), 5, "max")
    index.refresh().parts[1].entries.vectors[2] = np.nan
    for found, expected in zip(index.search(units(3, seed=1), 5, "max"), right, strict=True):
        assert np.array_equal(found, expected)
    assert numbers_in(index.refresh()) == [1, 2, 3, 4, 5]
    store.remove("c")
    assert numbers_in(index.refresh()) == [1, 2, 4, 5]


def test_an_entry_that_does_not_stay_whole_is_left_out(
    store, add, indexed, units, monkeypatch
) -> None:
    """The memory that takes it is damaged, too: the search ends without it."""
    add(store, units(5), list("abcde"))
    index = indexed(store)
    index.refresh().parts[1].entries.vectors[2] = np.nan
    real, asked = Store.entries_numbered, []

    def damaged(self, numbers):
        asked.append(numbers)
        assert len(asked) < 5
        found = real(self, numbers)
        return found._replace(vectors=found.vectors + 1)

    monkeypatch.setattr(Store, "entries_numbered", damaged)
    keys = index.search(units(3, seed=1), 5, "max")[1]
    assert asked == [[3], []]
    assert {store.ids(row.tolist())[key] for row in keys for key in row[:4]} == set("abde")
    assert (keys[:, 4] == -1).all()


def test_a_migration_that_ends_while_an_entry_is_found_damaged(
    store, add, indexed, units, monkeypatch
) -> None:
    """The damaged number is another entry's by then, and that has another dimension."""
    add(store, units(3), list("abc"))
    index = indexed(store)
    index.refresh()
    store.begin_migration(Binding("model-2", 4))
    store.add_migrated([1, 2, 3], units(3, dimension=4), [None] * 3, "model-2")

    def damaged(*_: object) -> None:
        store.finish_migration("model-2", [])
        monkeypatch.undo()
        raise DamagedError(np.array([2]))

    monkeypatch.setattr(View, "search", damaged)
    assert (index.search(units(1, dimension=4), 3, "max")[1] >= 0).all()


def test_a_search_that_has_begun_sees_one_state(store, add, indexed, units) -> None:
    add(store, units(3), ["a", "b", "c"])
    write_index(store, 1, anew=True)
    index = indexed(store)
    add(store, units(2, seed=1), ["d", "e"])
    before = index.refresh()
    store.remove("a")
    store.remove("d")
    add(store, units(1, seed=2), ["f"])
    after = index.refresh()
    assert (before.search(units(1), 9, "max")[1] >= 0).sum() == 5
    assert (after.search(units(1), 9, "max")[1] >= 0).sum() == 4


def test_what_went_is_forgotten_once(store, add, indexed, units) -> None:
    add(store, units(40), [f"p{i}" for i in range(40)])
    write_index(store, 1, anew=True)
    index = indexed(store)
    store.remove("p1")
    owners = index.refresh().parts[0].entries.owners
    assert (owners < 0).sum() == 1
    add(store, units(1), ["late"])
    assert index.refresh().parts[0].entries.owners is owners  # of a million, no copy for nothing


def test_a_state_of_another_store_or_generation_does_not_belong(store, add, units) -> None:
    add(store, units(1), ["a"])
    state = State.of(store)
    assert state.people == 1
    assert state.is_of(store)
    for changed in (
        {"gallery": "other"},
        {"generation": "other"},
        {"dimension": 9},
        {"change": Change(state.change.number, "other")},
        {"change": Change(state.change.number + 1, state.change.stamp)},
    ):
        assert not replace(state, **changed).is_of(store)


def test_another_generation_is_read_anew(store, add, indexed, units, monkeypatch) -> None:
    """All entries become others under an open index: nothing of the old ones answers."""
    add(store, units(5), list("abcde"))
    write_index(store, 1, anew=True)
    index = indexed(store)
    index.refresh()
    with store._database.writing() as change:
        change.db.execute("DELETE FROM images")
    add(store, units(2, seed=1), list("fg"))
    monkeypatch.setattr(Store, "generation", lambda _: "another")
    found = index.search(units(5), 7, "max")[1]
    assert set(store.ids(found[found >= 0].tolist()).values()) == {"f", "g"}
    assert len(numbers_in(index.refresh())) == 2


# -- its files -----------------------------------------------------------


@pytest.fixture
def kept(store, monkeypatch):
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    index = Index(store, 1)
    yield index
    index.close()


def found(kept: Index, queries: np.ndarray, k: int = 3) -> int:
    return int((kept.search(queries, k, "max")[1] >= 0).sum())


def test_what_is_far_behind_is_written_beside_the_work(kept, store, add, units) -> None:
    path = store.folder / snapshots.FILE
    add(store, units(10), list("abcdefghij"))
    kept.settle()
    kept.wait()
    assert not path.exists()
    add(store, units(1), ["k"])
    kept.settle()
    kept.wait()
    assert count_in(path) == 11
    assert found(kept, units(2)) == 6
    first = kept.refresh().parts[0]
    add(store, units(3), ["l", "m", "n"])
    assert found(kept, units(2), k=20) == 28
    assert kept.refresh().parts[0].entries.vectors is first.entries.vectors
    add(store, units(9), ["o"] * 9)
    kept.settle()
    kept.wait()
    assert found(kept, units(2), k=20) == 30
    sizes = [len(part.entries.numbers) for part in kept.refresh().parts]
    assert sizes == [23, 0]  # the tail is in the snapshot now


def test_the_kind_wanted_serves_as_soon_as_it_is_written(kept, store, add, units, capsys) -> None:
    store.set_index("HNSW8")
    add(store, units(5), list("abcde"))
    assert found(kept, units(1), k=9) == 5
    assert kept.refresh().kind == "flat"
    kept.wait()
    add(store, units(40, seed=1), [f"p{i}" for i in range(40)])
    kept.settle()
    assert found(kept, units(1), k=99) == 45
    kept.wait()
    assert kept.refresh().kind == "HNSW8"
    assert found(kept, units(1), k=99) == 45
    store.set_index("flat")
    assert kept.refresh().kind == "flat"
    kept.wait()
    assert not (store.folder / approximates.FILE).exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [snapshots.FILE, approximates.FILE])
def test_a_damaged_file_is_said_and_made_again(kept, store, add, units, capsys, name) -> None:
    store.set_index("HNSW8")
    vectors = units(1100)
    add(store, vectors, [f"p{i}" for i in range(1100)])
    write_index(store, 1)
    path: Path = store.folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 8]) + whole[51:])
    assert np.allclose(kept.search(vectors[:5], 1, "max")[0], 1, atol=1e-6)
    kept.wait()
    said = capsys.readouterr().err
    assert said.startswith(f"{path} is damaged: ")
    assert said.count("\n") == 1
    assert path.stat().st_size == len(whole)
    assert kept.refresh().kind == "HNSW8"
    assert capsys.readouterr().err == ""


def test_renewing_leaves_nothing_old_and_answers_from_the_new(kept, store, add, units) -> None:
    store.set_index("IVF2,Flat:nprobe=2")
    add(store, units(60), [f"p{i}" for i in range(60)])
    kept.renew()
    assert found(kept, units(1), k=99) == 60
    gone = units(60)[7].tobytes()
    folder = store.folder
    store.remove("p7")
    assert found(kept, units(1), k=99) == 59
    for name in (snapshots.FILE, approximates.FILE):
        assert gone in (folder / name).read_bytes()
    kept.renew()
    for name in (snapshots.FILE, approximates.FILE):
        assert gone not in (folder / name).read_bytes()
        assert said_by(folder / name)["count"] == 59
    assert kept.refresh().kind == "IVF2,Flat:nprobe=2"
    assert found(kept, units(1), k=99) == 59


def test_renewing_that_fails_is_said_in_one_line(kept, store, add, units, monkeypatch) -> None:
    add(store, units(3), list("abc"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facever.gallery.index.writing.write_snapshot", full)
    with pytest.raises(GalleryError) as refusal:
        kept.renew()
    assert str(refusal.value) == (
        f"{store.folder}: the index was not written: [Errno 28] No space left on device"
    )
    assert found(kept, units(1)) == 3


def test_a_gallery_that_cannot_be_written_is_searched_without_a_word(
    kept, store, add, units, capsys, monkeypatch
) -> None:
    add(store, units(40), [f"p{i}" for i in range(40)])
    monkeypatch.setattr(type(store), "index_writable", False)
    writes: list[object] = []
    monkeypatch.setattr(room, "write_index", lambda *given: writes.append(given))
    kept.settle()
    assert found(kept, units(1)) == 3
    kept.wait()
    assert writes == []
    assert capsys.readouterr().err == ""


def test_the_index_is_written_anew_when_an_entry_of_it_is_damaged(kept, store, add, units) -> None:
    path = store.folder / snapshots.FILE
    add(store, units(5), list("abcde"))
    assert found(kept, units(1), k=9) == 5
    kept.wait()
    assert not path.exists()
    kept.refresh().parts[1].entries.vectors[2] = np.nan
    assert found(kept, units(1), k=9) == 5
    kept.wait()
    assert count_in(path) == 5
    assert Snapshot.read(path).entries.vectors.tobytes() == store.entries_after(0).vectors.tobytes()


def test_a_file_that_is_just_being_written_is_not_missed(
    kept, store, add, units, capsys, monkeypatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: object) -> None:
        begun.set()
        assert go_on.wait(60)
        write_index(*given)

    monkeypatch.setattr(room, "write_index", slow)
    add(store, units(40), [f"p{i}" for i in range(40)])
    kept.settle()
    assert begun.wait(60)
    assert found(kept, units(1)) == 3
    go_on.set()
    kept.wait()
    assert found(kept, units(1)) == 3
    assert capsys.readouterr().err == ""


def test_what_is_too_little_to_train_is_said_and_searched_flat(
    kept, store, add, units, capsys
) -> None:
    store.set_index("IVF64,Flat")
    add(store, units(40), [f"p{i}" for i in range(40)])
    kept.renew()
    said = capsys.readouterr().err
    assert "'IVF64,Flat' needs at least 64 gallery vectors to train; there are 40: " in said
    assert said.count("\n") == 1
    assert found(kept, units(1), k=50) == 40
    assert capsys.readouterr().err == said
    add(store, units(40, seed=1), [f"q{i}" for i in range(40)])
    kept.settle()
    kept.wait()
    assert kept.refresh().kind == "IVF64,Flat"
    assert "was trained on 80 vectors" in capsys.readouterr().err


def test_it_is_written_until_it_has_caught_up(store, monkeypatch) -> None:
    writes, due = [], iter([True, True, False])
    monkeypatch.setattr(room, "write_index", lambda *given: writes.append(given))
    monkeypatch.setattr(room, "is_due", lambda _: next(due))
    room._write(store, 1)
    assert len(writes) == 3
