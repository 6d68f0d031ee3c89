"""Who is due, by date and by time."""

from datetime import UTC, datetime

import pytest

from facever.gallery.expiry import expired
from facever.gallery.gallery import Gallery


@pytest.mark.parametrize(
    ("value", "at", "due"),
    [
        ("2027-01-31", "2027-01-31T23:59:59+00:00", False),
        ("2027-01-31", "2027-02-01T00:00:00+00:00", True),
        ("2027-01-31T12:00:00+01:00", "2027-01-31T10:59:59+00:00", False),
        ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00+00:00", True),
        ("2027-01-31T12:00:00", "2030-01-01T00:00:00+00:00", None),
        ("31.1.2027", "2030-01-01T00:00:00+00:00", None),
        (20270131, "2030-01-01T00:00:00+00:00", None),
        (None, "2030-01-01T00:00:00+00:00", None),
    ],
)
def test_who_is_due(place, value, at, due):
    with Gallery.create(place, fingerprint="model", dimension=3) as gallery:
        gallery.add_person("ada", {"expires": value, "legal_basis": "consent"})
        gallery.add_person("bob")
        found = expired(gallery, datetime.fromisoformat(at))
    assert found.due == (["ada"] if due else [])
    assert found.unclear == (["ada"] if due is None else [])


def test_now_is_the_default(place):
    with Gallery.create(place, fingerprint="model", dimension=3) as gallery:
        gallery.add_person("past", {"expires": "2020-01-01"})
        gallery.add_person("later", {"expires": f"{datetime.now(UTC).year + 1}-01-01"})
        assert expired(gallery).due == ["past"]
