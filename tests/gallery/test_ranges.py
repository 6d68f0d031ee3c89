"""Filters by ranges of metadata: numbers, and texts such as times."""

import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

PEOPLE = {
    "early": {"seen": "2026-11-01T09:00:00Z", "n": 1},
    "late": {"seen": "2026-11-30T09:00:00Z", "n": 2.5},
    "number": {"seen": 20261115, "n": "2"},
    "none": {"seen": None, "n": None},
    "true": {"seen": True, "n": True},
    "nothing": {},
}


@pytest.fixture
def gallery(place):
    with Gallery.create(place, fingerprint="model", dimension=3) as made:
        for person, metadata in PEOPLE.items():
            made.add_person(person, metadata)
        yield made


@pytest.mark.parametrize(
    ("where", "people"),
    [
        ({"seen": {"from": "2026-11-01", "to": "2026-11-15"}}, ["early"]),
        (
            {"seen": {"from": "2026-11-01T09:00:00Z", "to": "2026-11-30T09:00:00Z"}},
            ["early", "late"],
        ),
        ({"seen": {"from": "2026-12"}}, []),
        ({"seen": {"to": "2026-11-10"}}, ["early"]),
        ({"n": {"from": 1, "to": 2}}, ["early"]),
        ({"n": {"from": 1.5}}, ["late"]),
        ({"n": {"to": 2.5}}, ["early", "late"]),
        ({"n": {"from": "2"}}, ["number"]),
        ({"n": {"from": 1}, "seen": {"from": "2026-11-02"}}, ["late"]),
    ],
)
def test_who_lies_in_a_range(gallery, where, people):
    assert [one.person for one in gallery.people(where)] == people
    assert [one.person for one in gallery.people_page(10, 0, where)[0]] == people


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"from": None},
        {"from": 1, "to": "2"},
        {"from": True},
        {"from": 1, "until": 2},
        {"to": []},
    ],
)
def test_what_is_no_range(gallery, given):
    with pytest.raises(GalleryError, match="from"):
        list(gallery.people({"n": given}))
