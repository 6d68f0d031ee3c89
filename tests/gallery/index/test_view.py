import numpy as np
import pytest

from facever.gallery.checksums import checksums_of
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.engine import DamagedError, Entries
from facever.gallery.index.people import Part, best_of
from facever.gallery.index.view import View


class Fixed:
    """An index that finds the same rows for everyone."""

    def __init__(self, *rows: int) -> None:
        self._rows = rows

    def search(self, queries: np.ndarray, depth: int) -> tuple[None, np.ndarray]:
        rows = (*self._rows, *[-1] * depth)[:depth]
        return None, np.tile(rows, (len(queries), 1))


def view_of(units, covered: int, *rows: int) -> View:
    """Forty people of one entry each, the last ten of them in the tail."""
    numbers = np.arange(1, 41)
    vectors = units(40)
    checksums = checksums_of(numbers, numbers * 10, vectors)
    entries = Entries(numbers, numbers * 10, vectors, checksums)
    approximate = Approximate("HNSW8", Fixed(*rows), np.arange(covered), covered)
    parts = [Part(entries.rows(slice(30))), Part(entries.rows(slice(30, None)))]
    return View(parts, 40, approximate)


def test_what_the_index_does_not_know_is_searched_exactly(units) -> None:
    """Rows 0 to 19 are in the index, 20 to 29 came later, 30 to 39 are in the tail."""
    view = view_of(units, 20, 3, 5)
    queries = units(40)
    scores, keys = view.search(queries, 1, "max", None)
    found = np.isclose(scores[:, 0], 1, atol=1e-6)
    assert np.flatnonzero(found).tolist() == [3, 5, *range(20, 40)]
    assert (keys[found, 0] == 10 * (np.flatnonzero(found) + 1)).all()
    assert (keys >= 0).all()


def test_nothing_is_proposed_for_a_list_that_has_ended(units) -> None:
    view = view_of(units, 30, 3)
    owners = view._proposed(units(2), 64, view._approximate)
    assert (set(owners[0]) - {-1}) == {40, *range(310, 410, 10)}


def test_too_few_proposed_fall_to_exact_search(units) -> None:
    view = view_of(units, 30, 3)
    scores, keys = view.search(units(40), 12, "max", None)
    exact = View(view.parts, 40, None).search(units(40), 12, "max", None)
    assert np.array_equal(keys, exact[1])
    assert np.array_equal(scores, exact[0])


def test_a_person_named_twice_is_one_person(units, monkeypatch) -> None:
    monkeypatch.setattr("facever.gallery.index.people._ROWS_AT_ONCE", 1)
    view = view_of(units, 30)
    keys = view.search(units(1), 4, "mean", np.array([50, 20, 50, 350, 20]))[1]
    assert sorted(keys[0].tolist()) == [-1, 20, 50, 350]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("covered", [0, 30])
@pytest.mark.parametrize("among", [None, np.arange(10, 401, 10)])
def test_a_damaged_vector_makes_no_list_shorter(units, value, covered: int, among) -> None:
    """All forty are asked for: the one that has no score is named, not left out."""
    view = view_of(units, covered)
    if not covered:
        view = View(view.parts, 40, None)
    view.parts[0].entries.vectors[7] = value
    with pytest.raises(DamagedError) as error:
        view.search(units(3), 40, "max", among)
    assert error.value.numbers.tolist() == [8]


def of_two_images(units) -> Entries:
    numbers, owners, vectors = np.arange(1, 41), np.repeat(np.arange(1, 21), 2), units(40)
    return Entries(numbers, owners, vectors, checksums_of(numbers, owners, vectors))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30, 0.0, -0.35])
def test_a_mean_is_made_of_verified_vectors(units, value) -> None:
    """Else a damaged vector would hide what the person's other images say."""
    entries = of_two_images(units)
    entries.vectors[7] = value
    with pytest.raises(DamagedError) as error:
        View([Part(entries)], 20, None).search(units(40)[6:7], 1, "mean", None)
    assert error.value.numbers.tolist() == [8]
    went = entries._replace(owners=np.where(entries.numbers == 8, -1, entries.owners))
    found = View([Part(went)], 20, None).search(units(40)[6:7], 1, "mean", None)
    assert found[1].tolist() == [[4]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e30, -3.0])
def test_what_no_unit_vector_scores_makes_a_person_looked_at(units, value) -> None:
    entries = of_two_images(units)
    entries.vectors[7] = value
    everybody = np.arange(1, 21)
    with np.errstate(all="ignore"):
        keys = best_of(units(40)[6:7], 1, everybody, [Part(entries)], "mean")[1]
    assert keys.tolist() == [[4]]
