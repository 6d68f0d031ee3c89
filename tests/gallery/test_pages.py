"""People in pages, people without images, and all that is kept of one person."""

import numpy as np
import pytest

from facever.errors import GalleryError, NotEnrolledError, TakenError
from facever.gallery.gallery import Gallery


@pytest.fixture
def gallery(place):
    with Gallery.create(place, fingerprint="model", dimension=4) as made:
        made.enroll(np.eye(4), ["a", "b", "a", "c"], fingerprint="model", sources=list("wxyz"))
        made.update("c", {"site": "A"})
        yield made


def pages(gallery, limit, where=None):
    after, found = 0, []
    while after is not None:
        page, after = gallery.people_page(limit, after, where)
        assert len(page) <= limit
        found.append([one.person for one in page])
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_pages_are_the_people_in_order(gallery, limit):
    found = pages(gallery, limit)
    everybody = [one.person for one in gallery.people()]
    assert [one for page in found for one in page] == everybody == ["a", "b", "c"]
    assert all(len(page) == limit for page in found[:-1])
    assert pages(gallery, limit, {"site": "A"})[-1] == ["c"]
    assert pages(gallery, limit, {"site": "B"}) == [[]]


def test_a_page_goes_on_after_a_removal(gallery):
    first, after = gallery.people_page(1)
    gallery.remove("b")
    rest, last = gallery.people_page(5, after)
    assert ([one.person for one in first + rest], last) == (["a", "c"], None)


def test_a_person_without_images(gallery):
    before = gallery.change
    gallery.add_person(" Jose\u0301 ", {"site": "B"})
    assert gallery.metadata("Jos\u00e9") == {"site": "B"}
    assert gallery.images("Jos\u00e9") == []
    assert gallery.change == before + 1
    with pytest.raises(TakenError, match="Jos"):
        gallery.add_person("Jos\u00e9")
    for person, metadata in (("", {}), ("x", {"a": float("nan")}), ("x", {"": 1})):
        with pytest.raises(GalleryError):
            gallery.add_person(person, metadata)
    assert gallery.info().people == 4
    assert gallery.check() == []


def test_all_that_is_kept_of_one_person(gallery):
    kept = gallery.person_export("a")
    np.testing.assert_array_equal(kept.vectors, np.eye(4)[[0, 2]])
    assert [row.source for row in kept.images] == ["w", "y"]
    assert (kept.person, kept.fingerprint, kept.metadata) == ("a", "model", {})
    assert gallery.person_export("c").metadata == {"site": "A"}
    with pytest.raises(NotEnrolledError, match="nobody"):
        gallery.person_export("nobody")
