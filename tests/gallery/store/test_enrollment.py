"""Enrolment: times, templates, qualities and reviews; duplicates are in test_store.py."""

import json

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Duplicate

EARLY, LATE = "2020-01-01T00:00:00+00:00", "2090-01-01T00:00:00+00:00"


def mean_of(vectors: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    total = sum(w * v.astype(float) for w, v in zip(weights or [1] * len(vectors), vectors))  # noqa: B905
    return total / np.linalg.norm(total)


def test_times_that_are_given_are_kept(make_store, some) -> None:
    store = make_store()
    store.enroll(some("ab", times=[EARLY, LATE]), {}, "keep")
    assert [store.images(p)[0].enrolled for p in "ab"] == [EARLY, LATE]
    store.enroll(some("c", first=2), {}, "keep")
    assert EARLY < store.images("c")[0].enrolled < LATE  # times that are given set no clock


def test_what_is_known_of_an_image(make_store, some) -> None:
    store = make_store()
    store.enroll(some("aba", qualities=[0.5, None, 0.25]), {}, "keep")
    found = [(i.image, i.source, i.hash, i.norm, i.quality) for p in "ab" for i in store.images(p)]
    assert found == [
        (1, "0", "hash 0", 1.0, 0.5),
        (3, "2", "hash 2", 3.0, 0.25),
        (2, "1", "hash 1", 2.0, None),
    ]
    assert found[0][3] == store.images("a")[0].to_dict()["norm"]
    with pytest.raises(GalleryError, match=r"^no person 'z' is enrolled$"):
        store.images("z")


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("policy", ["mean", "quality_mean", "medoids:2"])
def test_templates_follow_the_images(make_store, some, policy: str, storage: str) -> None:
    """After each change they are what all of a person's images make."""
    store = make_store(templates=policy, storage=storage)
    tolerance = {"float32": 1e-6, "float16": 1e-3, "int8": 1e-2}[storage]
    first, more = some("aabab"), some("abb", seed=1, first=5, qualities=[9.0, None, 0.5])
    store.enroll(first, {}, "keep")
    store.enroll(more, {}, "keep")
    vectors = np.vstack([first.vectors, more.vectors])
    weights = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 7.0, 0.5]
    assert store.counts() == (2, 8)
    for person, rows in (("a", [0, 1, 3, 5]), ("b", [2, 4, 6, 7])):
        found = store.vectors_of(person)
        if policy == "medoids:2":
            assert len(found) == 2
            assert (np.abs(vectors[rows] @ found.T).max(axis=0) > 1 - tolerance).all()
        else:
            used = [weights[row] for row in rows] if policy == "quality_mean" else None
            assert np.allclose(found, [mean_of(vectors[rows], used)], atol=tolerance)
    assert store.entry_count() == len(store.entries_after(0)[0]) == (4 if ":" in policy else 2)
    assert list(store.check()) == []


def test_an_enrolment_that_has_no_templates_is_undone(make_store, some) -> None:
    store = make_store(templates="quality_mean")
    with pytest.raises(GalleryError, match=r"no templates by 'quality_mean': .*norm .* unknown"):
        store.enroll(some("ab", norms=[1.0, None]), {}, "keep")
    assert store.counts() == (0, 0)


def test_vectors_of_a_model_that_is_gone(make_store, some) -> None:
    store = make_store()
    with pytest.raises(
        GalleryError, match=r"now has fingerprint model-1, but these vectors have model-0"
    ):
        store.enroll(some("a"), {}, "keep", fingerprint="model-0")
    assert store.counts() == (0, 0)


def test_what_is_not_left_out_keeps_its_own_vector(make_store, some) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    images = some("xbcd", seed=1, qualities=[1.0, 2.0, 3.0, 4.0])  # the first is there already
    assert store.enroll(images, {}, "skip")[0] == 3
    for row, person in ((1, "b"), (2, "c"), (3, "d")):
        assert store.vectors_of(person).tobytes() == images.vectors[row].tobytes()
        known = store.images(person)[0]
        assert (known.source, known.norm, known.quality) == (str(row), row + 1, row + 1)


def test_a_review_adds_duplicates_or_refuses(make_store, some) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    seen = []

    def review(found: list[Duplicate]) -> list[Duplicate]:
        seen.extend(found)
        return [Duplicate(1, "a", "x", None, 0.99)]

    added, _, found = store.enroll(some("ba"), {}, "skip", review=review)
    assert (added, [d.index for d in seen], [d.index for d in found]) == (0, [0], [0, 1])

    def refuse(found: list[Duplicate]) -> list[Duplicate]:
        raise GalleryError("no")

    with pytest.raises(GalleryError, match=r"^no$"):
        store.enroll(some("c", first=9), {}, "keep", review=refuse)
    assert store.counts() == (1, 1)


def test_what_is_told_of_people_whose_images_are_there_already(make_store, some) -> None:
    store = make_store()
    store.enroll(some("aa"), {"a": {"site": "A"}}, "keep")
    about = {"a": {"role": "guest"}, "b": {"role": "host"}}
    added, _, found = store.enroll(some("ab"), about, "skip")
    assert (added, [(d.person, d.known_as) for d in found]) == (0, [("a", "a"), ("b", "a")])
    assert store.metadata("a") == {"site": "A", "role": "guest"}
    assert [tuple(each) for each in store.people()] == [("a", 2)]  # b is nobody yet
    before = store.change()
    store.enroll(some("ab"), {"b": {"role": "host"}}, "skip")
    assert store.change() == before


def test_people_without_images(make_store, some) -> None:
    store = make_store()
    assert store.enroll(some(""), {"n": {"k": 1}}, "keep", nobody=["n"])[:2] == (0, 1)
    assert store.metadata("n") == {"k": 1}
    assert store.without_images() == {"n": '{"k": 1}'}
    assert [tuple(each) for each in store.people()] == [("n", 0)]


@pytest.mark.parametrize("what", ["operating point", "calibration"])
def test_what_is_kept_beside(make_store, what: str) -> None:
    store = make_store()
    store.add_measured(what, "door", "1:N", "{}")
    before = store.change().number
    with pytest.raises(GalleryError, match=f"^{what} 'door' already exists$"):
        store.add_measured(what, "door", "1:N", "[]")
    assert store.measured(what) == {"door": "{}"}
    assert store.change().number == before
    store.remove_measured(what, "door")
    assert store.measured(what) == {}
    with pytest.raises(GalleryError, match=f"^there is no {what} 'door'$"):
        store.remove_measured(what, "door")


@pytest.mark.parametrize(
    "metadata",
    [
        {"k": float("inf")},
        {"k": float("nan")},
        {"k": {1}},
        {"k": np.float32(1)},
        {"k": 2**63},
        {"k": 10**30},
        {"": 1},
        {7: 1},
        {"k": "\ud800"},
        {"k": {"\ud800": 1}},
        json.loads('{"k": ' * 70 + "1" + "}" * 70),
    ],
)
def test_metadata_that_cannot_be_kept(make_store, some, metadata: dict) -> None:
    store = make_store()
    store.enroll(some("a"), {}, "keep")
    before = store.change()
    for change in (
        lambda: store.update("a", metadata),
        lambda: store.enroll(some("ab", first=1), {"a": metadata}, "keep"),
    ):
        with pytest.raises(GalleryError, match=r"^metadata of 'a' cannot be stored: ") as refusal:
            change()
        assert len(str(refusal.value)) < 300
    assert (store.change(), store.counts(), store.metadata("a")) == (before, (1, 1), {})


def test_who_is_there(make_store, some) -> None:
    store = make_store()
    people = [f"p{n:05}" for n in range(9000)]
    store.enroll(some("b" + "a" * 3), {"a": {"site": "A"}, "b": {"site": "B"}}, "keep")
    assert [tuple(each) for each in store.people()] == [("a", 3), ("b", 1)]
    assert [each.person for each in store.people({"site": ["B", "C"]})] == ["b"]
    keys = store.keys_where({"site": "A"})
    assert (keys.dtype, [store.ids(keys.tolist())[k] for k in keys.tolist()]) == (np.int64, ["a"])
    assert store.keys_where({"site": "C"}).shape == (0,)
    store.enroll(some(""), {"p00007": {"site": "A"}}, "keep", nobody=people)
    assert [each.person for each in store.people()] == ["a", "b", *people]
    assert [each.person for each in store.people({"site": "A"})] == ["a", "p00007"]
