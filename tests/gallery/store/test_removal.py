"""Removals: whole, in no answer afterwards, and audited."""

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import NewImages


def test_many_people_at_once(make_store, some, follower) -> None:
    store = make_store()
    store.enroll(some("abcabd"), {}, "keep")
    following = follower(store)
    following.refresh()
    before = store.change().number
    assert store.remove_all(["a", "d", "a"]) == 3
    assert store.change().number == before + 1
    assert sorted(following.refresh()) == [2, 3, 5]
    assert [tuple(each) for each in store.people()] == [("b", 2), ("c", 1)]
    assert store.remove_all([]) == 0
    assert store.change().number == before + 1


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (["x"], "^no person 'x' is enrolled$"),
        (["a", "x"], "^no person 'x' is enrolled; nobody was removed$"),
        (["x", "a", "y", "z"], r"^no person 'x' is enrolled \(nor 2 more of these\); nobody was"),
        ([""], "a person id must be a string"),
    ],
)
def test_all_or_nobody(make_store, some, people: list[str], message: str) -> None:
    store = make_store()
    store.enroll(some("ab"), {}, "keep")
    before = store.change()
    with pytest.raises(GalleryError, match=message):
        store.remove_all(people)
    assert (store.change(), store.counts(), store.audit()) == (before, (2, 2), [])


def test_many_people(make_store) -> None:
    store = make_store()
    people = [str(n) for n in range(25_000)]
    empty = np.empty((0, 6), np.float32)
    store.enroll(NewImages([], empty, [], [], []), {}, "keep", nobody=people)
    assert store.remove_all(people[1:]) == 0
    assert [each.person for each in store.people()] == ["0"]


@pytest.mark.parametrize("image", ["1", 2])  # its source, and its number
@pytest.mark.parametrize("policy", ["all", "mean"])
def test_an_image_goes(make_store, some, follower, policy: str, image: str | int) -> None:
    store = make_store(templates=policy)
    images = some("aab")
    store.enroll(images, {"a": {"k": 1}}, "keep")
    following = follower(store)
    following.refresh()
    with pytest.raises(GalleryError, match=r"^'a' has no image number 3$"):
        store.remove("a", 3)  # it is b's
    assert store.remove("a", image) == 1
    assert np.allclose(store.vectors_of("a"), images.vectors[:1], atol=1e-6)
    assert sorted(following.refresh()) == store.entries_after(0)[0].tolist()
    store.remove("a", "0")
    assert (store.metadata("a"), store.images("a")) == ({"k": 1}, [])
    with pytest.raises(GalleryError, match=r"^no person 'a' with images is enrolled$"):
        store.vectors_of("a")
    assert sorted(following.refresh()) == store.entries_after(0)[0].tolist()
    assert len(store.entries_after(0)[0]) == 1
    assert list(store.check()) == []


def test_the_audit_log_tells_no_one(make_store, some) -> None:
    store = make_store()
    store.enroll(some("aab" + "c"), {"a": {"name": "Ada"}}, "keep")
    store.remove("a", "1")
    store.remove_all(["a", "b"])
    store.update("c", {}, new_id="d")
    found = store.audit()
    assert [(e.action, e.images, e.change) for e in found] == [
        ("remove images", 1, 3),
        ("remove", 1, 4),
        ("remove", 1, 4),
        ("rename", 0, 5),
    ]
    assert len({e.person for e in found}) == 3
    assert [e.action for e in store.audit(store.mark("a"))] == ["remove images", "remove"]
    assert store.audit(store.mark("d")) == []
    assert found[0].to_dict()["person"] == store.mark("a")


def test_the_same_id_has_another_mark_in_another_gallery(make_store) -> None:
    store, other = make_store(), make_store("other")
    assert len({other.mark("a"), store.mark("a"), store.mark("b")}) == 3
    assert len(other.mark("a")) == 64
