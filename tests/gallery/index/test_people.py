import numpy as np
import pytest

from facever.gallery.index import people as room
from facever.gallery.index.engine import Entries
from facever.gallery.index.people import Part, best_of, leaders, mean_vectors, merged, ranked, top


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
