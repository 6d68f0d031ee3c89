"""Enrolments are checked, also against what another writer enrolls meanwhile."""

from functools import partial

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

MODEL = {"fingerprint": "model-1"}


def turned(vector, cosine: float):
    """Return a unit vector of that cosine with another."""
    side = np.roll(vector, 1) - (np.roll(vector, 1) @ vector) * vector
    side /= np.linalg.norm(side)
    return (cosine * vector + np.sqrt(1 - cosine**2) * side).astype(np.float32)


@pytest.fixture
def units(units):
    """Random unit rows of so many dimensions that none is near another."""
    return partial(units, dimension=64)


@pytest.fixture
def gallery(place, units):
    """Twenty strangers."""
    with Gallery.create(place, dimension=64, **MODEL) as gallery:
        gallery.enroll(units(20), [f"p{i}" for i in range(20)], **MODEL)
        yield gallery


@pytest.fixture
def ada(gallery, units):
    """A vector of ada, who is among the strangers."""
    vector = units(1, seed=70)[0]
    gallery.enroll(vector, "ada", **MODEL)
    return vector


@pytest.mark.parametrize("policy", ["all", "mean", "medoids:1"])
def test_what_is_near_is_there_already(gallery, units, ada, policy: str) -> None:
    """Near an image, whatever people are compared by."""
    gallery.enroll(turned(ada, 0.2), "ada", **MODEL)
    gallery.set_templates(policy)
    near = np.stack([turned(ada, 0.99), turned(ada, 0.97), units(1, seed=71)[0]])
    done = gallery.enroll(near, ["ada", "bob", "cy"], near=0.98, **MODEL)
    assert [(d.index, d.person, d.known_as) for d in done.duplicates] == [(0, "ada", "ada")]
    assert done.duplicates[0].score == pytest.approx(0.99, abs=1e-5)
    assert (done.images, done.new_people) == (2, 2)
    before = gallery.info()
    with pytest.raises(GalleryError) as refusal:
        gallery.enroll(near[:2], "dee", near=0.9, duplicates="refuse", **MODEL)
    assert str(refusal.value) == (
        "image 0 is already enrolled as 'bob' (and 1 more); nothing was enrolled"
    )
    assert gallery.info() == before
    kept = gallery.enroll(near[0], "ada", near=0.98, duplicates="keep", **MODEL)
    assert (kept.images, len(kept.duplicates)) == (1, 1)


def test_without_a_limit_only_hash_and_source_tell(gallery, ada) -> None:
    assert gallery.enroll(ada, "bob", **MODEL).duplicates == []


def test_near_and_same_ones_are_reported_in_order(gallery, units, ada) -> None:
    given = np.stack([turned(ada, 0.99), units(1, seed=72)[0], units(1, seed=73)[0]])
    gallery.enroll(given[1], "eve", sources=["e.jpg"], **MODEL)
    done = gallery.enroll(given, "eve", near=0.98, sources=["x", "e.jpg", "y"], **MODEL)
    assert [(d.index, d.known_as, d.score is None) for d in done.duplicates] == [
        (0, "ada", False),
        (1, "eve", True),
    ]


def test_a_face_of_somebody_else_is_reported_and_enrolled(gallery, units, ada, make_point) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.8))
    given = np.stack([turned(ada, 0.9), units(1, seed=76)[0], turned(-ada, 0.9)])
    done = gallery.enroll(given, ["bob", "ada", "cy"], sources=["0.jpg", None, None], **MODEL)
    (conflict,) = done.conflicts
    assert (conflict.index, conflict.person, conflict.matches) == (0, "bob", "ada")
    assert (conflict.score, conflict.source) == (pytest.approx(0.9, abs=1e-5), "0.jpg")
    assert (done.images, done.note) == (3, "")
    assert done.conflict_point == gallery.operating_points()["door"]
    plain = done.to_dict()
    assert plain["conflict_point"]["threshold"] == 0.8
    assert plain["conflicts"][0]["matches"] == "ada"


def test_or_refused_whole(gallery, ada, make_point) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.8))
    before = gallery.info()
    given = np.stack([turned(-ada, 0.9), turned(ada, 0.9)])
    with pytest.raises(GalleryError) as refusal:
        gallery.enroll(given, ["cy", "bob"], conflicts="refuse", **MODEL)
    assert str(refusal.value) == "image 1 of 'bob' matches 'ada' (0.9000); nothing was enrolled"
    assert gallery.info() == before
    done = gallery.enroll(given, ["cy", "bob"], conflicts="ignore", **MODEL)
    assert (done.images, done.conflicts, done.conflict_point) == (2, [], None)


def test_or_not_looked_for_without_a_point(gallery, ada, make_point) -> None:
    done = gallery.enroll(ada, "bob", **MODEL)
    assert (done.conflicts, done.conflict_point, done.note) == ([], None, "")
    with pytest.raises(
        GalleryError, match=r"^conflicts cannot be refused: the gallery has no operating"
    ):
        gallery.enroll(ada, "cy", conflicts="refuse", **MODEL)
    gallery.add_operating_point("one", make_point(threshold=0.8))
    assert {c.matches for c in gallery.enroll(ada, "cy", **MODEL).conflicts} <= {"ada", "bob"}
    gallery.add_operating_point("two", make_point(threshold=0.8))
    done = gallery.enroll(ada, "dee", **MODEL)
    assert (done.conflicts, done.note) == (
        [],
        "conflicts were not checked: name one of one, two",
    )
    assert len(gallery.enroll(ada, "eve", conflict_point="two", **MODEL).conflicts) == 1


def test_people_of_one_enrolment_conflict_too(gallery, units, ada, make_point) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.95))
    new = units(1, seed=74)[0]
    done = gallery.enroll(np.stack([new, turned(new, 0.99)]), ["bob", "cy"], **MODEL)
    assert [(c.person, c.matches) for c in done.conflicts] == [("bob", "cy"), ("cy", "bob")]


def test_rows_that_failed_are_counted(gallery, ada, make_point) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.8))
    faces = EmbeddingSet.from_arrays(
        np.stack([ada, turned(ada, 0.99)]), ["bob", "cy"], fingerprint="model-1"
    )
    vectors = faces.vectors.copy()
    vectors[0] = 0
    rows = faces.rows.drop(columns=["norm", "error"])
    failed = EmbeddingSet(
        vectors, with_outcome(rows, np.linalg.norm(vectors, axis=1), ["gone", None]), faces.meta
    )
    done = gallery.enroll(failed)
    assert [c.index for c in done.conflicts] == [1]


@pytest.fixture
def meanwhile(gallery, place, monkeypatch):
    """Let another process do something between the check and the transaction."""

    def arrange(what) -> list[int]:
        enroll, done = gallery._store.enroll, []

        def late(*args, **options):
            if not done:
                with Gallery.open(place) as other:
                    what(other)
                done.append(1)
            return enroll(*args, **options)

        monkeypatch.setattr(gallery._store, "enroll", late)
        return done

    return arrange


def test_what_another_enrolls_meanwhile_is_near_too(gallery, units, meanwhile) -> None:
    new = units(1, seed=75)[0]
    meanwhile(lambda other: other.enroll(turned(new, 0.99), "late", **MODEL))
    done = gallery.enroll(new, "bob", near=0.98, **MODEL)
    assert [(d.person, d.known_as) for d in done.duplicates] == [("bob", "late")]
    assert done.images == 0


def test_whom_another_enrolls_meanwhile_conflicts_too(
    gallery, units, meanwhile, make_point
) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.8))
    new = units(1, seed=75)[0]
    meanwhile(lambda other: other.enroll(turned(new, 0.99), "late", **MODEL))
    with pytest.raises(GalleryError, match=r"^image 0 of 'bob' matches 'late' \(0\.99"):
        gallery.enroll(new, "bob", conflicts="refuse", **MODEL)


def test_what_another_removes_meanwhile_conflicts_no_more(
    gallery, ada, meanwhile, make_point
) -> None:
    gallery.add_operating_point("door", make_point("1:N", threshold=0.8))
    meanwhile(lambda other: other.remove("ada"))
    done = gallery.enroll(ada, "bob", conflicts="refuse", near=0.9, **MODEL)
    assert (done.images, done.conflicts, done.duplicates) == (1, [], [])


def test_a_point_or_policy_that_comes_meanwhile_counts(gallery, ada, meanwhile, make_point) -> None:
    gallery.enroll(-ada, "ada", **MODEL)  # by medoids:1 the first image alone stays
    done = meanwhile(lambda other: other.set_templates("medoids:1"))
    mean = make_point("1:N", threshold=0.8, templates="medoids:1")
    gallery.add_operating_point("medoid", mean)
    found = gallery.enroll(ada, "bob", **MODEL)
    assert done
    assert found.conflict_point == mean
    assert [c.matches for c in found.conflicts] == ["ada"]
