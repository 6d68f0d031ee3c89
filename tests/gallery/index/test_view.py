"""What a search does with entries: which can decide, and who is best by the exact scores."""

import numpy as np
import pytest

from facever.gallery.checksums import checksums_of
from facever.gallery.index import people as room
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.people import Part, best_of, leaders, mean_vectors, merged, ranked, top
from facever.gallery.index.scans import DamagedError
from facever.gallery.index.view import View
from facever.gallery.records import Entries


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


# -- from entries to people -----------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 7])
def test_leaders_against_a_loop(k: int) -> None:
    random, slack = np.random.default_rng(k), 0.3
    scores = -np.sort(-random.normal(size=(50, 12)), axis=1).astype(np.float32)
    owners = random.integers(-1, 6, size=(50, 12))
    chosen, settled = leaders(scores, owners, k, slack)
    for row in range(50):
        best: dict[int, float] = {}
        for score, owner in zip(scores[row], owners[row], strict=True):
            if owner >= 0:
                best.setdefault(int(owner), float(score))
        enough = len(best) >= k
        cut = sorted(best.values(), reverse=True)[k - 1] - slack if enough else -np.inf
        expected = [
            owner >= 0 and score >= cut and score >= best[int(owner)] - slack
            for score, owner in zip(scores[row], owners[row], strict=True)
        ]
        assert chosen[row].tolist() == expected
        assert settled[row] == (enough and scores[row, -1] < cut)


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("k", [1, 3, 9])
def test_ranked_against_a_loop(k: int, rule: str) -> None:
    random = np.random.default_rng(k)
    rows, owners = random.integers(0, 7, 90), random.integers(0, 6, 90)
    scores = random.choice(np.float32([0.1, 0.2, 0.3, 0.35]), 90)  # equal ones: by the keys
    found_scores, found_owners = ranked(rows, owners, scores, 8, k, rule)
    for row in range(8):
        each = {o: scores[(rows == row) & (owners == o)] for o in owners[rows == row].tolist()}
        right = {
            o: s.max() if rule == "max" else np.float32(sum(s.astype(float)) / len(s))
            for o, s in each.items()
        }
        expected = sorted(right.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        padded = expected + [(-1, -np.inf)] * (k - len(expected))
        assert list(zip(found_owners[row], found_scores[row], strict=True)) == padded


def parts_of(*sizes: int) -> tuple[list[Part], np.ndarray, np.ndarray]:
    """Parts, and all their owners and vectors; some rows are nobody's."""
    random, made = np.random.default_rng(0), []
    for size in sizes:
        owners = random.integers(-1, 12, size=size) * 10
        owners[owners < 0] = -1
        vectors = random.normal(size=(size, 3)).astype(np.float32)
        made.append(Part(Entries(np.arange(size), owners, vectors, np.zeros(size, np.uint32))))
    owners = np.concatenate([part.entries.owners for part in made])
    return made, owners, np.concatenate([part.entries.vectors for part in made])


def test_means_over_parts_without_the_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ROWS_AT_ONCE", 7)
    parts, owners, vectors = parts_of(40, 0, 19)
    keys, means = mean_vectors(parts, 3)
    assert keys.tolist() == sorted(set(owners.tolist()) - {-1})
    for key, mean in zip(keys, means, strict=True):
        assert np.allclose(mean, vectors[owners == key].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_the_best_of_some_people_against_a_loop(rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(room, "_QUERIES_AT_ONCE", 2)
    parts, owners, vectors = parts_of(40, 0, 19)
    queries = 0.1 * np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    asked = np.array([20, 555, 0, 110, 70, 30])  # nobody is 555
    for k in (1, 2, 9):
        scores, keys = best_of(queries, k, asked, parts, rule)
        for row, query in enumerate(queries):
            each = {key: vectors[owners == key] @ query for key in asked if key in owners}
            right = {key: v.max() if rule == "max" else v.mean() for key, v in each.items()}
            ranked = sorted(right.items(), key=lambda pair: -pair[1])[:k]
            assert keys[row].tolist() == [key for key, _ in ranked] + [-1] * (k - len(ranked))
            assert np.allclose(scores[row, : len(ranked)], [s for _, s in ranked], atol=1e-6)
            assert np.isneginf(scores[row, len(ranked) :]).all()
    assert (best_of(queries, 2, asked[:0], parts, rule)[1] == -1).all()


def test_what_is_held_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_ROWS_AT_ONCE", 7)
    parts, owners, _ = parts_of(200, 100)
    people, counts = np.unique(owners[owners >= 0], return_counts=True)
    pieces = list(room._gathered(people, parts))
    assert max(len(piece) for piece, _ in pieces) <= 7 + counts.max()
    assert sum(len(piece) for piece, _ in pieces) == counts.sum()


def test_rows_that_went_are_passed_over_without_grouping_anew() -> None:
    part = parts_of(40)[0][0]
    owners = part.entries.owners.copy()
    grouped = part.grouped
    gone = np.flatnonzero(owners == 20)[:1]
    owners[gone] = -1
    later = part.with_owners(owners)
    assert later.grouped is grouped
    assert (
        sorted(later.rows_of(np.array([20, 40])))
        == np.flatnonzero(np.isin(owners, [20, 40])).tolist()
    )
    assert set(part.rows_of(np.array([20]))) - set(later.rows_of(np.array([20]))) == set(gone)


def test_top_and_merged_against_sorting() -> None:
    random = np.random.default_rng(2)
    scores = random.normal(size=(6, 11)).astype(np.float32)
    keys = random.permutation(11)
    for k in (1, 4, 11, 14):
        found, of = top(scores, keys, k)
        order = np.argsort(-scores, axis=1)[:, :k]
        assert np.array_equal(of[:, :11], keys[order])
        assert np.array_equal(found[:, :11], np.take_along_axis(scores, order, 1))
        assert (of[:, 11:] == -1).all()
        halves = [top(scores[:, part], keys[part], k) for part in (slice(0, 6), slice(6, 11))]
        for one, both in zip(merged(*halves), (found, of), strict=True):
            assert np.array_equal(one, both)
