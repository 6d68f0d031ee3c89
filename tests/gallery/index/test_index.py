"""The index follows its store: every way of changing gives the answers of a slow search."""

import sqlite3
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from facever.gallery.index import snapshot as snapshots
from facever.gallery.index import view as views
from facever.gallery.index.index import Index, belongs, state_of
from facever.gallery.index.writing import write_index
from facever.gallery.records import Change
from facever.gallery.store.store import Store


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
    index, actions, proposed = indexed(store, kind), Counter(), 0
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
            index = indexed(store, kind)
        check(index, store, truth, probes, slow_search, rule)
        some = [person for person in truth if random.integers(2)]
        check(index, store, truth, probes, slow_search, rule, among=some)
        proposed += index.engine.serves == kind != "flat"
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


def test_a_failure_halfway_shows_nothing_and_is_made_good(
    store, add, indexed, units, monkeypatch
) -> None:
    index = indexed(store)
    add(store, units(3), ["a", "b", "c"])
    index.refresh()
    store.remove("a")
    add(store, units(3, seed=1), ["d", "e", "f"])
    with monkeypatch.context() as patched:

        def broken(*_: object) -> None:
            raise OSError("the disk reports an error")

        patched.setattr(Store, "entries_removed_after", broken)
        with pytest.raises(OSError, match="the disk reports an error"):
            index.refresh()
        assert index.engine.count() == 3  # as before: half of a change is never seen
    index.refresh()
    assert index.engine.count() == 5
    assert (np.sort(index.search(units(1), 9, "max")[1]) >= 0).sum() == 5


def test_a_search_that_has_begun_sees_one_state(store, add, indexed, units) -> None:
    add(store, units(3), ["a", "b", "c"])
    write_index(store, 1, anew=True)
    index = indexed(store)
    add(store, units(2, seed=1), ["d", "e"])
    index.refresh()
    before = index.engine._view
    store.remove("a")
    store.remove("d")
    add(store, units(1, seed=2), ["f"])
    index.refresh()
    assert (before.search(units(1), 9, "max", None)[1] >= 0).sum() == 5
    assert (index.engine.search(units(1), 9, "max")[1] >= 0).sum() == 4


def test_a_state_of_another_store_or_generation_does_not_belong(store, add, units) -> None:
    add(store, units(1), ["a"])
    state = state_of(store)
    assert state.people == 1
    assert belongs(store, state)
    for changed in (
        {"gallery": "other"},
        {"generation": "other"},
        {"dimension": 9},
        {"change": Change(state.change.number, "other")},
        {"change": Change(state.change.number + 1, state.change.stamp)},
    ):
        assert not belongs(store, type(state)(**{**state.__dict__, **changed}))


def test_another_generation_is_read_anew(store, add, indexed, units, monkeypatch) -> None:
    """All entries become others under an open index: nothing of the old ones answers."""
    add(store, units(5), list("abcde"))
    write_index(store, 1, anew=True)
    index: Index = indexed(store)
    index.refresh()
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("DELETE FROM images")
    add(store, units(2, seed=1), list("fg"))
    monkeypatch.setattr(Store, "generation", lambda _: "another")
    found = index.search(units(5), 7, "max")[1]
    assert set(store.ids(found[found >= 0].tolist()).values()) == {"f", "g"}
    assert index.engine.count() == 2
