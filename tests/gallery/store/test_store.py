"""What every store promises: whole changes, one state while reading, numbers and generations."""

import threading
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facever.errors import GalleryError
from facever.gallery.records import Binding, Duplicate, NewImages, Settings
from facever.gallery.store.store import Store
from tests.gallery.store.conftest import Stores

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
COUNT = count()
HOSTILE = ("'; DROP TABLE people; --", "../../etc/passwd", "<script>alert(1)</script>", "a\0b")


@pytest.fixture
def store(make_store) -> Store:
    return make_store(binding=Binding("model-1", 2, options={"flip": True}))


def images(*people: str, sources=None, hashes=None) -> NewImages:
    vectors = np.float32([[1, 0], [0, 1]] * len(people))[: len(people)]
    none = [None] * len(people)
    return NewImages(list(people), vectors, none, sources or none, hashes or none)


def test_a_new_store_says_what_it_is_bound_to(store: Store, make_store) -> None:
    assert store.binding == Binding("model-1", 2, "cosine", {}, {"flip": True})
    assert store.settings == Settings()
    assert (store.counts(), store.entry_count(), store.read_only) == ((0, 0), 0, False)
    assert store.had(store.change())
    assert not store.had(store.change()._replace(stamp="other"))
    other = make_store("other", binding=store.binding)
    assert (other.gallery, other.generation()) != (store.gallery, store.generation())
    assert not other.had(store.change())


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
    assert store.entries_after(7).numbers.tolist() == [8, 9]
    assert store.entries_after(2, limit=3).numbers.tolist() == [3, 4, 5]
    assert np.array_equal(store.entries_numbered([7, 2, 99]).vectors, random[[1, 6]])
    assert store.entries_among(np.array([0, 2, 9, 10])) == {2, 9}


def test_all_or_nothing(store: Store) -> None:
    before = store.change()
    with pytest.raises(GalleryError, match="metadata of 'b' cannot be stored"):
        store.enroll(images("a", "b"), {"b": {"when": object()}}, "keep")
    assert store.counts() == (0, 0)
    assert store.change() == before
    assert store.enroll(images("a"), {}, "keep")[:2] == (1, 1)


def test_metadata_is_added_to_what_is_known(store: Store) -> None:
    store.enroll(images("a", "b"), {"a": {"team": "red", "age": 3}}, "keep")
    store.enroll(images("a"), {"a": {"team": "blue"}}, "keep")
    assert store.metadata("a") == {"team": "blue", "age": 3}
    assert store.metadata("b") == {}
    with pytest.raises(GalleryError, match="no person 'c' is enrolled"):
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
    # 1.jpg holds other bytes now; 9.jpg has the bytes of 1.jpg; 2.jpg was enrolled without a hash
    wanted = [(1, "a", "a", "9.jpg"), (2, "c", "b", "2.jpg"), (4, "d", "d", "6.jpg")]
    found = store.duplicates_of(again)
    assert [(d.index, d.person, d.known_as, d.source) for d in found] == wanted
    if policy == "refuse":
        with pytest.raises(GalleryError, match=r"'9.jpg' is already enrolled as 'a' \(and 2 more"):
            store.enroll(again, {}, policy)
        assert store.counts() == (2, 2)
        return
    added, new, found = store.enroll(again, {}, policy)
    assert [(d.index, d.person, d.known_as, d.source) for d in found] == wanted
    assert (added, new) == ((3, 3) if policy == "skip" else (6, 4))


def test_nothing_new_is_no_change(store: Store) -> None:
    store.enroll(images("a", sources=["1.jpg"]), {}, "skip")
    before = store.change()
    assert store.enroll(images("a", sources=["1.jpg"]), {}, "skip")[0] == 0
    assert store.change() == before


def test_change_numbers_tell_what_was_removed_since(store: Store) -> None:
    store.enroll(images("a", "b", "a", sources=["1", "2", "3"]), {}, "keep")
    first = store.change()
    assert store.remove("a", "3") == 1
    second = store.change()
    assert store.remove("a") == 1
    assert first.number < second.number < store.change().number
    assert all(store.had(change) for change in (first, second, store.change()))
    assert sorted(store.entries_removed_after(first.number).tolist()) == [1, 3]
    assert store.entries_removed_after(second.number).tolist() == [1]
    assert store.counts() == (1, 1)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    people=st.dictionaries(
        TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), min_size=1, max_size=4
    )
)
@example(people={hostile: {hostile: hostile} for hostile in HOSTILE})
def test_ids_and_metadata_are_data(stores: Stores, people: dict[str, dict[str, object]]) -> None:
    if not stores.holds_nul:  # of ids and sources; JSON has an escape for it
        people = {person.replace("\0", "0"): known for person, known in people.items()}
    name = f"gallery_{next(COUNT)}"
    stores.create(name, Binding("m", 2), Settings())
    store = stores.open(name, wait=1)
    ids = list(people)
    store.enroll(images(*ids, sources=ids, hashes=ids), people, "keep")
    for person, metadata in people.items():
        assert store.metadata(person) == metadata
        assert len(store.vectors_of(person)) == 1
    assert sorted(store.ids(range(1, 10)).values()) == sorted(ids)
    store.remove(ids[0])
    assert store.counts() == (len(ids) - 1, len(ids) - 1)
    store.close()
    with pytest.raises(GalleryError, match="is closed; open the gallery again"):
        store.counts()


def test_one_state_while_reading(make_store) -> None:
    writer, reader = make_store(), make_store()
    with reader.reading():
        before = reader.change(), reader.generation(), reader.counts()
        writer.enroll(
            NewImages(["a"], np.eye(1, 6, dtype=np.float32), [None], [None], [None]), {}, "keep"
        )
        writer.set_templates("mean")
        with reader.reading():
            assert (reader.change(), reader.generation(), reader.counts()) == before
        assert len(reader.entries_after(0).numbers) == 0
        assert reader.settings.templates == "all"
        assert list(reader.people()) == []
    assert (reader.counts(), reader.settings.templates) == ((1, 1), "mean")
    assert reader.generation() != before[1]


def while_it_writes(store: Store, do: Callable[[], object]) -> None:
    """Enroll 'held' from held.jpg, and meanwhile, within the change, do something."""

    def review(found: list[Duplicate]) -> list[Duplicate]:
        do()
        return []

    store.enroll(images("held", sources=["held.jpg"]), {}, "skip", review=review)


def test_a_second_writer_waits_and_then_says_so(store: Store, make_store) -> None:
    second = make_store(wait=0.05)

    def write() -> None:
        with pytest.raises(GalleryError, match=r"another process is writing .*waited 0.05 s"):
            second.enroll(images("b"), {}, "keep")
        assert second.counts() == store.counts() == (0, 0)  # a reader sees no half of a change

    while_it_writes(store, write)
    assert second.enroll(images("b"), {}, "keep")[0] == 1
    assert store.counts() == (2, 2)


def test_a_second_writer_sees_what_the_first_enrolled(store: Store, make_store) -> None:
    """It begins when the first is done, not on what it could read before."""
    begun, found = threading.Event(), []

    def second() -> None:
        other = make_store(wait=5)
        begun.set()
        found.append(other.enroll(images("b", sources=["held.jpg"]), {}, "skip"))

    thread = threading.Thread(target=second)

    def begin() -> None:
        thread.start()
        begun.wait()
        thread.join(0.2)
        assert found == []

    while_it_writes(store, begin)
    thread.join()
    added, _, duplicates = found[0]
    assert (added, [d.known_as for d in duplicates]) == (0, ["held"])


def test_what_a_change_raises_undoes_it(store: Store) -> None:
    before = store.change()

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        while_it_writes(store, fail)
    assert (store.change(), store.counts()) == (before, (0, 0))
    store.enroll(images("b"), {}, "keep")
    assert store.counts() == (1, 1)


def test_no_store(stores: Stores) -> None:
    with pytest.raises(GalleryError, match=r"no gallery at .*'facever gallery create'"):
        stores.open("none", wait=1)
