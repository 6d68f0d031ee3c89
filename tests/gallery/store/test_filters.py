"""Filters of people by their metadata, against a plain comparison of values."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facever.errors import GalleryError
from facever.gallery.metadata import checked_where, fits
from facever.gallery.store.store import Store

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.1, 1.0, 1e16, 10**16, 2**62])
    | st.sampled_from(["A", "a", "", 'B"', "\\", "é", "\0", "true", "True", "1", "1.0", ": "])
)
KEYS = st.sampled_from(["k", 'k"', "é", "k\0", "k: "])


@pytest.fixture
def store(make_store) -> Store:
    return make_store()


def plain_fits(metadata: dict, where: dict) -> bool:
    """Compare value by value: True only with True, a number also with what is written so."""
    for key, wanted in where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if key not in metadata:
            return False
        found = metadata[key]
        if not any(plain_same(found, value) for value in values):
            return False
    return True


def plain_same(found: object, wanted: object) -> bool:
    if isinstance(found, str) != isinstance(wanted, str) and None not in (found, wanted):
        number, written = (wanted, found) if isinstance(found, str) else (found, wanted)
        if isinstance(number, list):
            return False
        if isinstance(number, float) and number == int(number):
            number = int(number)
        return repr(number) == written
    return found == wanted and (type(found) is bool) == (type(wanted) is bool)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=2), max_size=3), max_size=4
    ),
    st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3), max_size=2),
)
def test_who_matches(store: Store, some, people: list[dict], where: dict) -> None:
    """The store's own way to narrow leaves out nobody who matches."""
    named = {f"p{number}": metadata for number, metadata in enumerate(people)}
    store.enroll(some(""), named, "keep", nobody=list(named))
    found = [each.person for each in store.people(where)]
    assert found == [person for person in named if plain_fits(named[person], where)]
    store.remove_all(list(named))


CASES = [
    ({"k": 1}, 1, True),
    ({"k": 1}, True, False),
    ({"k": True}, 1, False),
    ({"k": True}, [1, True], True),
    ({"k": 0}, False, False),
    ({"k": 1}, 1.0, True),
    ({"k": 1.0}, [2, 1], True),
    ({"k": 1e16}, 10**16, True),
    ({"k": 2**62}, 2**62, True),
    ({"k": 0.1}, ["A", 0.1], True),
    ({"k": "1"}, 1, True),  # a table's cell is text, Python's value a number
    ({"k": "1"}, 1.0, True),
    ({"k": 1}, "1", True),
    ({"k": 1.0}, "1", True),
    ({"k": 1e16}, "10000000000000000", True),
    ({"k": "01"}, 1, False),
    ({"k": "1.5"}, 1.5, True),
    ({"k": "True"}, True, True),
    ({"k": True}, "True", True),
    ({"k": "1"}, True, False),
    ({"k": None}, None, True),
    ({"k": "None"}, None, False),
    ({}, None, False),
    ({"k": "A"}, ["B", "A"], True),
    ({"k": ["A"]}, "A", False),
    ({"k": "AB"}, "A", False),
    ({"k": "A\0b"}, "A", False),
    ({"k": 'é"\\'}, 'é"\\', True),
    ({"K": "A"}, "A", False),
    ({"x": {"k": "A"}}, "A", False),
    ({"x": "k", "y": "A"}, "A", False),
]


@pytest.mark.parametrize(("metadata", "wanted", "matching"), CASES)
def test_equal_values(metadata: dict, wanted: object, matching: bool) -> None:
    assert fits(metadata, checked_where({"k": wanted})) == matching


def test_who_is_found(make_store, some) -> None:
    store = make_store()
    people = {f"p{number}": metadata for number, (metadata, *_) in enumerate(CASES)}
    store.enroll(some(""), people, "keep", nobody=list(people))
    for wanted in ({"k": wanted} for _, wanted, _ in CASES):
        matching = {p for p, metadata in people.items() if fits(metadata, checked_where(wanted))}
        assert {each.person for each in store.people(wanted)} == matching
        keys = store.keys_where(wanted).tolist()
        assert keys == sorted(keys)
        assert set(store.ids(keys).values()) == matching


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"k": {"a": 1}}, "not {'a': 1}"),
        ({"k": [["a"]]}, r"not \['a'\]"),
        ({"": "a"}, "a key of metadata must be a string"),
        ({3: "a"}, "a key of metadata must be a string"),
        ({"k": "\ud800"}, "cannot be encoded in UTF-8"),
    ],
)
def test_what_nobody_is_found_by(where: dict, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        checked_where(where)


def test_nothing_and_everything() -> None:
    assert fits({}, checked_where({}))
    assert not fits({"k": 1}, checked_where({"k": []}))
