from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from facever.evaluation.scoring import pairwise
from facever.evaluation.scoring.pairwise import AllPairs, PairScores, count_trials, exclusion_codes
from facever.evaluation.scoring.similarity import make_scorer


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pairwise, "_ROWS", 7)
    monkeypatch.setattr(pairwise, "_COLUMNS", 5)
    monkeypatch.setattr(pairwise, "_TILE", 11)


def codes_of(names):
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def loop(names, excluded, others=None, other_excluded=None):
    """Return the genuine and the impostor pairs of rows."""
    sides = (range(len(names)), range(len(others if others is not None else names)))
    pairs = combinations(sides[0], 2) if others is None else product(*sides)
    others = names if others is None else others
    other_excluded = excluded if other_excluded is None else other_excluded
    genuine, impostor = set(), set()
    for i, j in pairs:
        if any(x == y for x, y in zip(excluded[i], other_excluded[j], strict=True)):
            continue
        (genuine if names[i] == others[j] else impostor).add((i, j))
    return genuine, impostor


def found(parts, one_set=True):
    both = PairScores.join(list(parts))
    pairs = zip(both.a.tolist(), both.b.tolist(), strict=True)
    listed = [tuple(sorted(pair)) if one_set else pair for pair in pairs]
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize("columns", [0, 1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_every_pair_of_one_set_is_walked_once(make_faces, columns):
    vectors, names = make_faces(40, people=9)
    excluded = np.random.default_rng(1).integers(4, size=(40, columns))
    pairs = AllPairs(make_scorer(vectors), codes_of(names), excluded=excluded)
    genuine, impostor = loop(names, excluded)
    ordered = [pairs.in_user_order(part) for part in pairs.genuine_scores()]
    assert found(ordered) == genuine
    assert found(pairs.in_user_order(part) for part in pairs.impostor_scores()) == impostor
    assert (pairs.genuine, pairs.impostor) == (len(genuine), len(impostor))
    for part in ordered:
        assert np.array_equal(part.scores, make_scorer(vectors).pairs(part.a, part.b))


@pytest.mark.parametrize("columns", [0, 1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_every_pair_of_two_sets_is_walked_once(make_faces, columns):
    vectors, names = make_faces(30, people=9)
    others, other_names = make_faces(25, people=12, seed=5)
    rng = np.random.default_rng(1)
    excluded, other_excluded = (rng.integers(4, size=(n, columns)) for n in (30, 25))
    both = codes_of(np.concatenate([names, other_names]))
    pairs = AllPairs(
        make_scorer(vectors, others=others),
        both[:30],
        both[30:],
        excluded=excluded,
        other_excluded=other_excluded,
        other_numbers=np.arange(100, 125),
    )
    genuine, impostor = loop(names, excluded, other_names, other_excluded)
    shifted = [{(i, j + 100) for i, j in side} for side in (genuine, impostor)]
    parts = (pairs.in_user_order(part) for part in pairs.genuine_scores())
    assert found(parts, one_set=False) == shifted[0]
    parts = (pairs.in_user_order(part) for part in pairs.impostor_scores())
    assert found(parts, one_set=False) == shifted[1]
    assert (pairs.genuine, pairs.impostor) == (len(genuine), len(impostor))


def test_counts_of_three_excluding_columns_by_inclusion_and_exclusion():
    rng = np.random.default_rng(0)
    names, excluded = rng.integers(5, size=30), rng.integers(3, size=(30, 3))
    genuine, impostor = loop(names, excluded)
    assert count_trials(names, excluded) == (len(genuine), len(impostor))


def test_missing_values_exclude_nothing():
    column = pd.Series(["a", None, None, "a", np.nan])
    codes = exclusion_codes([column], 5)[:, 0]
    assert codes[0] == codes[3]
    assert len(set(codes)) == 4
    assert exclusion_codes([], 5).shape == (5, 0)


def test_user_numbers_are_kept(make_faces):
    vectors, names = make_faces(20)
    pairs = AllPairs(make_scorer(vectors), codes_of(names), numbers=np.arange(20) * 10)
    for part in map(pairs.in_user_order, pairs.genuine_scores()):
        assert np.array_equal(names[part.a // 10], names[part.b // 10])
