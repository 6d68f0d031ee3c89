"""A migration to another model, step by step, beside changes of the images."""

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Binding, MigrationState, PendingImage

NEW = Binding("model-2", 4, "cosine", {"size": 64}, {"flip": True})


@pytest.fixture
def vectors(units):
    """Vectors of the new model, by the numbers of images."""
    return lambda numbers: units(100, seed=9, dimension=4)[list(numbers)]


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("policy", ["all", "mean"])
def test_a_migration(make_store, some, vectors, follower, policy: str, storage: str) -> None:
    store, reader = make_store(templates=policy, storage=storage), make_store()
    store.enroll(some("abab", qualities=[0.5] * 4), {"a": {"k": 1}}, "keep")
    store.add_measured("operating point", "door", "1:N", "{}")
    store.add_measured("calibration", "door", "1:N", "{}")
    following = follower(reader)
    old = following.refresh()
    assert store.migration() is None
    store.begin_migration(NEW)
    pending = list(reader.pending_images())
    assert pending[1] == PendingImage(2, "b", "1", "hash 1")
    assert [each.image for each in pending] == [1, 2, 3, 4]
    store.add_migrated([1, 2, 3], vectors([1, 2, 3]), [5.0, 6.0, None], "model-2")
    assert reader.migration() == MigrationState(NEW, 3, 1)
    store.begin_migration(NEW)  # goes on
    assert [each.image for each in reader.pending_images()] == [4]
    assert following.refresh() == old
    with pytest.raises(GalleryError, match=r"^1 images are not embedded by the new model yet; the"):
        store.finish_migration("model-2")
    assert (reader.binding.fingerprint, reader.counts()) == ("model-1", (2, 4))
    store.enroll(some("c", first=4), {}, "keep")  # the old model serves
    with pytest.raises(GalleryError, match="1 images"):
        store.finish_migration("model-2", remove=[4])
    store.add_migrated([5], vectors([5]), [1.0], "model-2")
    assert store.finish_migration("model-2", remove=[1, 4, 77]) == 1
    assert reader.binding == NEW
    assert reader.migration() is None
    assert (reader.measured("operating point"), reader.measured("calibration")) == ({}, {})
    assert [tuple(each) for each in reader.people()] == [("a", 2), ("b", 1), ("c", 1)]
    assert [(i.image, i.norm, i.quality) for i in reader.images("a")] == [
        (1, 5, 0.5),
        (3, None, 0.5),
    ]
    assert reader.metadata("a") == {"k": 1}
    tolerance = {"float32": 0, "float16": 1e-3, "int8": 1e-2}[storage]
    if policy == "all":
        assert np.abs(reader.vectors_of("a") - vectors([1, 3])).max() <= tolerance
    assert np.abs(reader.vectors_of("b") - vectors([2])).max() <= max(tolerance, 1e-6)
    held = following.refresh()
    assert sorted(held) == reader.entries_after(0)[0].tolist()
    assert {len(vector) for _, vector in held.values()} == {16}
    assert [(e.action, e.images) for e in reader.audit()] == [("migrate", 1)]
    assert list(reader.check()) == []
    with pytest.raises(
        GalleryError, match="now has fingerprint model-2, but these vectors have model-1"
    ):
        store.enroll(some("d", first=8), {}, "keep", fingerprint="model-1")


def test_what_changes_meanwhile(make_store, some, vectors) -> None:
    """Images that go need no vector; those that move to other people keep theirs."""
    store = make_store()
    store.enroll(some("aabb"), {}, "keep")
    store.begin_migration(NEW)
    store.add_migrated([1, 2, 3], vectors([1, 2, 3]), [None] * 3, "model-2")
    store.remove("b", "3")
    store.merge("b", "a")
    store.split("a", ["1"], "c")
    store.add_migrated([4, 3], vectors([4, 3]), [None] * 2, "model-2")  # both are gone
    assert list(store.pending_images()) == []
    assert store.migration() == MigrationState(NEW, 3, 0)
    store.finish_migration("model-2")
    assert np.array_equal(store.vectors_of("c"), vectors([2]))
    assert np.array_equal(store.vectors_of("a"), vectors([1, 3]))


def test_a_vector_can_be_given_again(make_store, some, vectors) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    store.begin_migration(NEW)
    for number in (7, 8):
        store.add_migrated([1], vectors([number]), [1.0], "model-2")
    store.finish_migration("model-2")
    assert np.array_equal(store.vectors_of("a"), vectors([8]))


def test_one_at_a_time(make_store, some, vectors) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    with pytest.raises(GalleryError, match=r"^the gallery already has fingerprint model-1$"):
        store.begin_migration(Binding("model-1", 6))
    for act in (
        lambda: store.add_migrated([1], vectors([1]), [1.0], "model-2"),
        lambda: store.finish_migration("model-2"),
    ):
        with pytest.raises(
            GalleryError, match=r"^there is no migration to fingerprint model-2, but none$"
        ):
            act()
    with pytest.raises(GalleryError, match=r"^there is no migration$"):
        store.abandon_migration()
    store.begin_migration(Binding("model-3", 4))
    with pytest.raises(
        GalleryError,
        match=r"^a migration to fingerprint model-3 has begun: finish or abandon it before",
    ):
        store.begin_migration(NEW)
    with pytest.raises(GalleryError, match="but one to model-3"):
        store.add_migrated([1], vectors([1]), [1.0], "model-2")
    store.add_migrated([1], vectors([1]), [1.0], "model-3")
    store.abandon_migration()
    assert store.migration() is None
    store.begin_migration(NEW)
    assert store.migration() == MigrationState(NEW, 0, 1)


def test_more_images_than_are_read_at_once(make_store, some, units) -> None:
    store = make_store(storage="float16")
    store.enroll(some("a" * 5000), {}, "keep")
    store.begin_migration(NEW)
    numbers = [each.image for each in store.pending_images()]
    assert numbers == list(range(1, 5001))
    fresh = units(5000, seed=3, dimension=4)
    store.add_migrated(numbers, fresh, [1.0] * 5000, "model-2")
    store.finish_migration("model-2")
    assert np.abs(store.vectors_of("a") - fresh).max() < 1e-3
