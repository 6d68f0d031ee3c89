from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.index import Index, Tail
from facever.gallery.records import Binding, NewImages
from facever.gallery.store.store import Store


@pytest.fixture
def store(tmp_path: Path):
    Store.create(tmp_path, Binding("model-1", 8))
    store = Store.open(tmp_path, wait=1)
    yield store
    store.close()


def add(store: Store, vectors: np.ndarray, people: list[str]) -> None:
    none = [None] * len(people)
    store.enroll(NewImages(people, vectors, none, none, none), {}, "keep")


def check(index: Index, store: Store, truth: dict, probes, slow_search, rule: str) -> None:
    """Compare every depth of answer with the slow search over the living images."""
    vectors = np.concatenate([vectors for vectors, _ in truth.values()])
    people = [person for person, (vectors, _) in truth.items() for _ in vectors]
    ids = store.ids(range(1, 1000))
    for k in (1, 3, len(truth), len(truth) + 5):
        scores, keys = index.search(probes, k, rule)
        assert scores.shape == keys.shape == (len(probes), k)
        for row, probe in enumerate(probes):
            expected = slow_search(vectors, people, probe, rule)[:k]
            found = [
                (ids[key], s) for key, s in zip(keys[row], scores[row], strict=True) if key >= 0
            ]
            assert [person for person, _ in found] == [person for person, _ in expected]
            assert np.allclose([s for _, s in found], [s for _, s in expected], atol=1e-6)


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_every_way_of_changing_gives_the_answers_of_a_slow_search(
    store: Store, units, slow_search, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Additions, removals and snapshots in a random order, followed by one index throughout."""
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    random, truth, probes = np.random.default_rng(5), {}, units(4, seed=99)
    index, opened = Index(store), Counter()
    for step in range(25):
        action = random.choice(["add", "add", "add", "remove", "write", "reopen"])
        opened[action] += 1
        if action == "add" or len(truth) < 3:
            people = [f"p{random.integers(20)}" for _ in range(random.integers(1, 12))]
            vectors = units(len(people), seed=step)
            add(store, vectors, people)
            for person, vector in zip(people, vectors, strict=True):
                known = truth.get(person, (np.empty((0, 8), np.float32), None))[0]
                truth[person] = np.vstack([known, vector]), None
        elif action == "remove":
            person = str(random.choice(sorted(truth)))
            store.remove(person)
            del truth[person]
        elif action == "write":
            Index(store, begins=True).write()
        else:
            index = Index(store, begins=True)
        check(index, store, truth, probes, slow_search, rule)
    assert set(opened) == {"add", "remove", "write", "reopen"}


def test_many_images_of_few_people_and_many_removed(
    store: Store, units, slow_search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best images are all of one person, then all of a removed one."""
    monkeypatch.setattr("facever.gallery.index.index._CELLS", 64)
    probes = units(3)
    near = probes[0] + 0.01 * units(300, seed=1)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    add(store, near, ["crowd"] * 300)
    others = units(40, seed=2)
    add(store, others, [f"p{i // 2}" for i in range(40)])
    truth = {f"p{i}": (others[2 * i : 2 * i + 2], None) for i in range(20)}
    index = Index(store)
    check(index, store, {**truth, "crowd": (near, None)}, probes, slow_search, "max")
    store.remove("crowd")
    check(index, store, truth, probes, slow_search, "max")


def test_nobody_is_found_in_nothing(store: Store, units) -> None:
    index = Index(store)
    for rule in ("max", "mean"):
        scores, keys = index.search(units(2), 3, rule)
        assert (keys == -1).all()
        assert np.isneginf(scores).all()
    add(store, units(1), ["gone"])
    store.remove("gone")
    assert (index.search(units(2), 3, "max")[1] == -1).all()


def test_a_number_is_never_given_twice(store: Store, units) -> None:
    """The newest image goes after the snapshot; the next one must not be taken for it."""
    first, second = units(2)
    add(store, np.stack([first, first]), ["kept", "gone"])
    Index(store, begins=True).write()
    store.remove("gone")
    add(store, second[None], ["new"])
    index = Index(store)
    scores, keys = index.search(second[None], 2, "max")
    ids = store.ids(keys[0].tolist())
    assert [ids[key] for key in keys[0]] == ["new", "kept"]
    assert np.allclose(scores[0], [1, first @ second], atol=1e-6)


def test_a_new_snapshot_takes_the_place_of_the_tail(
    store: Store, units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_LEAST", 10)
    index = Index(store)
    add(store, units(30), [f"p{i}" for i in range(30)])
    index.refresh()
    assert index.wants_snapshot
    Index(store, begins=True).write()
    index.refresh()
    assert not index.wants_snapshot
    assert [len(part[0]) for part in index._parts()] == [30, 0]


def test_a_tail_keeps_what_it_has_shown() -> None:
    tail, shown = Tail(2), []
    for count in (1, 3, 2, 50, 1):
        first = tail.count + 1
        images = np.arange(first, first + count)
        tail.add(images, images * 10, np.stack([images, -images], axis=1).astype(np.float32))
        shown.append(tail.part())
    for vectors, images, owners in shown:
        assert images.tolist() == list(range(1, len(images) + 1))
        assert (owners == images * 10).all()
        assert (vectors[:, 1] == -images).all()
