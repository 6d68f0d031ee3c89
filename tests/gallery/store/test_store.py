import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.errors import GalleryError
from facever.gallery.records import Binding, NewImages
from facever.gallery.store.store import FILE, Store

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture
def store(tmp_path: Path):
    Store.create(tmp_path, Binding("model-1", 2, options={"flip": True}))
    store = Store.open(tmp_path, wait=0.1)
    yield store
    store.close()


def images(*people: str, sources=None, hashes=None) -> NewImages:
    vectors = np.float32([[1, 0], [0, 1]] * len(people))[: len(people)]
    none = [None] * len(people)
    return NewImages(list(people), vectors, none, sources or none, hashes or none)


def test_a_new_store_says_what_it_is_bound_to(store: Store) -> None:
    assert store.binding == Binding("model-1", 2, "cosine", {}, {"flip": True})
    assert store.counts() == (0, 0)
    assert store.change().number == 1
    assert store.had(store.change())
    assert not store.had(store.change()._replace(stamp="other"))


def test_only_the_owner_may_read_it(store: Store) -> None:
    store.enroll(images("a"), {}, "keep")
    files = list(store.path.parent.iterdir())
    assert len(files) == 3  # with SQLite's log and its index
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_vectors_come_back_bit_for_bit(store: Store) -> None:
    random = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    people = list("abcabcaba")
    store.enroll(NewImages(people, random, [1.5] * 9, [None] * 9, [None] * 9), {}, "keep")
    numbers, owners, vectors, _ = store.entries_after(0)
    assert np.array_equal(vectors, random)
    assert numbers.tolist() == list(range(1, 10))
    ids = store.ids(owners.tolist())
    assert [ids[owner] for owner in owners] == people
    assert np.array_equal(store.vectors_of("b"), random[[1, 4, 7]])
    assert len(store.entries_after(7)[0]) == 2


def test_all_or_nothing(store: Store) -> None:
    with pytest.raises(GalleryError, match="metadata of 'b' cannot be kept"):
        store.enroll(images("a", "b"), {"b": {"when": object()}}, "keep")
    with pytest.raises(GalleryError, match="cannot be kept"):
        store.enroll(images("a", "b"), {"b": {"height": float("nan")}}, "keep")
    assert store.counts() == (0, 0)
    assert store.change().number == 1
    assert store.enroll(images("a"), {}, "keep")[:2] == (1, 1)


def test_metadata_is_added_to_what_is_known(store: Store) -> None:
    store.enroll(images("a", "b"), {"a": {"team": "red", "age": 3}}, "keep")
    store.enroll(images("a"), {"a": {"team": "blue"}}, "keep")
    assert store.metadata("a") == {"team": "blue", "age": 3}
    assert store.metadata("b") == {}
    with pytest.raises(GalleryError, match="nobody is enrolled as 'c'"):
        store.metadata("c")


@pytest.mark.parametrize("policy", ["skip", "keep", "refuse"])
def test_duplicates(store: Store, policy: str) -> None:
    first = images("a", "b", sources=["1.jpg", "2.jpg"], hashes=["h1", None])
    again = images(
        "x", "a", "c", "d", "d", "e",
        sources=["1.jpg", "9.jpg", "2.jpg", "5.jpg", "6.jpg", "7.jpg"],
        hashes=["other", "h1", "h3", "h4", "h4", None],
    )  # fmt: skip
    assert store.enroll(first, {}, policy)[2] == []
    if policy == "refuse":
        with pytest.raises(GalleryError, match=r"'9.jpg' is enrolled already as 'a' \(and 2 more"):
            store.enroll(again, {}, policy)
        assert store.counts() == (2, 2)
        return
    added, new, found = store.enroll(again, {}, policy)
    # 1.jpg holds other bytes now; 9.jpg has the bytes of 1.jpg; 2.jpg was enrolled without a hash
    assert [(d.index, d.person, d.known_as, d.source) for d in found] == [
        (1, "a", "a", "9.jpg"),
        (2, "c", "b", "2.jpg"),
        (4, "d", "d", "6.jpg"),
    ]
    assert (added, new) == ((3, 3) if policy == "skip" else (6, 4))


def test_nothing_new_is_no_change(store: Store) -> None:
    store.enroll(images("a", sources=["1.jpg"]), {}, "skip")
    before = store.change()
    assert store.enroll(images("a", sources=["1.jpg"]), {}, "skip")[0] == 0
    assert store.change() == before


def test_remove(store: Store) -> None:
    store.enroll(images("a", "b", "a", sources=["1", "2", "3"]), {}, "keep")
    before = store.change().number
    assert store.remove("a", "3") == 1
    assert len(store.vectors_of("a")) == 1
    assert store.remove("a") == 1
    assert store.counts() == (1, 1)
    assert sorted(store.entries_removed_after(before).tolist()) == [1, 3]
    assert store.entries_removed_after(before + 1).tolist() == [1]
    for refused in (("a",), ("b", "1")):
        with pytest.raises(GalleryError, match=r"nobody is enrolled|has no image from"):
            store.remove(*refused)


def test_removed_vectors_are_overwritten(store: Store) -> None:
    """After the log is folded in, the bytes are nowhere in the store."""
    secret = np.float32([[0.123456, -0.98765]])
    store.enroll(NewImages(["a"], secret, [None], [None], [None]), {}, "keep")
    with store.writing():
        pass
    assert store._writer is not None
    fold = "PRAGMA wal_checkpoint(TRUNCATE)"
    store._writer.execute(fold)
    assert secret.tobytes() in store.path.read_bytes()
    store.remove("a")
    store._writer.execute(fold)
    assert secret.tobytes() not in store.path.read_bytes()


@settings(max_examples=12, deadline=None)
@given(st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), min_size=1, max_size=4))
def test_ids_and_metadata_are_data(
    tmp_path_factory: pytest.TempPathFactory, people: dict[str, dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    Store.create(folder, Binding("m", 2))
    with closing(Store.open(folder, wait=1)) as store:
        ids = list(people)
        store.enroll(images(*ids, sources=ids, hashes=ids), people, "keep")
        for person, metadata in people.items():
            assert store.metadata(person) == metadata
            assert len(store.vectors_of(person)) == 1
        assert sorted(store.ids(range(1, 10)).values()) == sorted(ids)
        store.remove(ids[0])
        assert store.counts() == (len(ids) - 1, len(ids) - 1)
    assert [file.name for file in folder.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "hostile",
    ["'; DROP TABLE people; --", "../../etc/passwd", "<script>alert(1)</script>", "a\0b", "%s{0}"],
)
def test_hostile_ids(store: Store, hostile: str) -> None:
    store.enroll(images(hostile, hostile + "2"), {hostile: {hostile: hostile}}, "keep")
    assert store.metadata(hostile) == {hostile: hostile}
    assert store.remove(hostile) == 1
    assert store.counts() == (1, 1)


def test_no_store_and_another_file(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"no gallery at .*'facever gallery create'"):
        Store.open(tmp_path, wait=1)
    (tmp_path / FILE).write_text("no database" * 1000)
    with pytest.raises(GalleryError, match="not an SQLite file"):
        Store.open(tmp_path, wait=1)
    (tmp_path / FILE).unlink()
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(GalleryError, match="is not the store of a gallery"):
        Store.open(tmp_path, wait=1)


def test_a_newer_format_is_left_alone(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(GalleryError, match="format 99, newer than this facever reads"):
        Store.open(store.path.parent, wait=1)


def test_a_truncated_store_is_said_to_be_damaged(store: Store) -> None:
    store.enroll(images(*map(str, range(2000))), {}, "keep")
    store.close()
    content = store.path.read_bytes()
    for share in (0.3, 0.7):
        store.path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(GalleryError, match="restore it from a copy"):
            Store.open(store.path.parent, wait=1).entries_after(0)
    store.path.write_bytes(content)
    with closing(Store.open(store.path.parent, wait=1)) as healthy:
        assert healthy.counts() == (2000, 2000)


def test_a_second_writer_waits_and_then_says_so(store: Store) -> None:
    with closing(Store.open(store.path.parent, wait=0.05)) as second:
        with store.writing() as db:
            db.execute("INSERT INTO people (id, created) VALUES ('half', '')")
            with pytest.raises(GalleryError, match=r"another process is writing .*waited 0.05 s"):
                second.enroll(images("b"), {}, "keep")
            assert second.counts() == (0, 0)  # a reader never sees half of a change
        assert second.enroll(images("b"), {}, "keep")[0] == 1
        assert store.counts() == (2, 1)


def test_a_second_writer_sees_what_the_first_enrolled(store: Store) -> None:
    """It begins when the first is done, not on what it could read before."""
    begun = threading.Event()

    def first() -> None:
        with store.writing() as db:
            begun.set()
            time.sleep(0.2)
            db.execute("INSERT INTO people VALUES (1, 'a', '{}', '')")
            db.execute(
                "INSERT INTO images VALUES (1, 1, '1.jpg', NULL, '', 1, x'0000803f00000000', NULL)"
            )

    writer = threading.Thread(target=first)
    writer.start()
    begun.wait()
    with closing(Store.open(store.path.parent, wait=5)) as second:
        added, _, found = second.enroll(images("b", sources=["1.jpg"]), {}, "skip")
    writer.join()
    assert (added, [d.known_as for d in found]) == (0, ["a"])
