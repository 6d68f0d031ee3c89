from itertools import combinations

import numpy as np
import pytest

from facever.evaluation.scoring import pairwise, streaming
from facever.evaluation.scoring.dyads import BlockDyads, DyadErrors, DyadSums, ListedDyads
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import ListedTrials


def by_loop(people, excluded, others=None, other_excluded=None):
    """Return T [I, I] of impostor trials between people, both triangles."""
    size = max(people.max(), people.max() if others is None else others.max()) + 1
    table = np.zeros((size, size))
    if others is None:
        pairs = combinations(range(len(people)), 2)
        others, other_excluded = people, excluded
    else:
        pairs = ((i, j) for i in range(len(people)) for j in range(len(others)))
    for i, j in pairs:
        if people[i] != others[j] and not (excluded[i] == other_excluded[j]).any():
            table[people[i], others[j]] += 1
            table[others[j], people[i]] += 1
    return table


@pytest.mark.parametrize("columns", [0, 1, 2])
@pytest.mark.parametrize("two_sets", [False, True])
def test_block_dyads_are_those_of_a_loop(columns, two_sets):
    rng = np.random.default_rng(columns)
    sides = [rng.integers(7, size=30), rng.integers(3, size=(30, columns))]
    if two_sets:
        sides += [rng.integers(9, size=20), rng.integers(3, size=(20, columns))]
    table, dyads = by_loop(*sides), BlockDyads(*sides)
    assert np.array_equal(dyads.per_person, table.sum(axis=1))
    assert dyads.squares == np.sum(np.triu(table, 1) ** 2)
    i, j = np.triu_indices(len(table), 1)
    assert np.array_equal(dyads.between(i, j), table[i, j])
    assert np.array_equal(dyads.between(j, i), table[i, j])


def test_listed_dyads_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    i, j = rng.integers(8, size=(2, 200))
    i, j = i[i != j], j[i != j]
    table = np.zeros((9, 9))
    np.add.at(table, (i, j), 1)
    table += table.T
    dyads = ListedDyads(i, j, 9)
    assert np.array_equal(dyads.per_person, table.sum(axis=1))
    assert dyads.squares == np.sum(np.triu(table, 1) ** 2)
    assert np.array_equal(dyads.between(j, i), table[i, j])
    assert len(dyads.between(i[:0], j[:0])) == 0


def test_errors_are_added_up_by_unordered_pairs():
    errors = DyadErrors.of(np.array([2, 0, 1, 2]), np.array([1, 3, 2, 1]), 4)
    assert list(zip(errors.i, errors.j, errors.counts, strict=True)) == [(0, 3, 1), (1, 2, 3)]


def sums_equal(one, two):
    assert one.total == two.total
    assert one.squares == two.squares
    assert one.shared == two.shared
    assert np.array_equal(one.per_person, two.per_person)


@pytest.mark.parametrize("two_sets", [False, True])
def test_error_sums_stream_below_the_kept_top(make_faces, monkeypatch, two_sets):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(pairwise, "_ROWS", 17)
    monkeypatch.setattr(pairwise, "_COLUMNS", 23)
    vectors, names = make_faces(150, people=12)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    excluded = np.random.default_rng(0).integers(5, size=(150, 1))
    if two_sets:
        half = slice(75), slice(75, None)
        scorer = make_scorer(vectors[half[0]], others=vectors[half[1]])
        pairs = AllPairs(
            scorer,
            codes[half[0]],
            codes[half[1]],
            excluded=excluded[half[0]],
            other_excluded=excluded[half[1]],
        )
    else:
        pairs = AllPairs(make_scorer(vectors), codes, excluded=excluded)
    everything = StreamedTrials(pairs, pairs.impostor)
    little = StreamedTrials(pairs, 10)
    for k in (3, 500, 3_000):
        threshold = everything.threshold(k)
        sums_equal(little.error_sums(threshold), everything.error_sums(threshold))
        assert little.error_sums(threshold).total == k
    assert little.error_sums(-2.0).total == pairs.impostor


def test_sums_of_disjoint_dyads_add_up():
    rng = np.random.default_rng(0)
    dyads = BlockDyads(rng.integers(6, size=40), np.empty((40, 0), np.int64))
    i, j = np.triu_indices(6, 1)
    errors = DyadErrors(i, j, rng.integers(5, size=len(i)).astype(float))
    parts = [DyadSums.of(errors.take(part), dyads) for part in (slice(4), slice(4, None))]
    sums_equal(parts[0] + parts[1], DyadSums.of(errors, dyads))


def test_accepted_by_person_is_a_loop(make_faces):
    vectors, names = make_faces(60, people=7)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    i, j = np.triu_indices(60, 1)
    scores = make_scorer(vectors).pairs(i, j)
    trials = ListedTrials(scores, codes[i] == codes[j], (i, j), (codes[i], codes[j]))
    thresholds = np.sort([-0.5, 0.2, 0.2, float(trials.genuine_scores.scores[5]), 0.9])
    accepted, genuine = trials.accepted_by_person(thresholds)
    for person in range(7):
        own = scores[(codes[i] == person) & (codes[j] == person)]
        assert genuine[person] == len(own)
        assert accepted[person].tolist() == [(own > t).sum() for t in thresholds]


@pytest.mark.parametrize(("people", "trials"), [(5, 400), (200, 400)])
def test_trials_are_added_up_by_pairs_of_people(people, trials):
    """With more trials than pairs of people, and with fewer; in one part and in several."""
    rng = np.random.default_rng(0)
    i, j = rng.integers(people, size=(2, trials)).astype(np.int32)
    weights = rng.standard_normal(trials)
    sums, counts = {}, {}
    for a, b, weight in zip(i.tolist(), j.tolist(), weights.tolist(), strict=True):
        key = min(a, b), max(a, b)
        sums[key] = sums.get(key, 0.0) + weight
        counts[key] = counts.get(key, 0) + 1
    parts = [(i[:100], j[:100], weights[:100]), (i[100:], j[100:], weights[100:])]
    for found in (
        DyadErrors.of(i, j, people, weights),
        DyadErrors.of_parts(parts, people, trials),
    ):
        keys = list(zip(found.i.tolist(), found.j.tolist(), strict=True))
        assert keys == sorted(sums)
        assert found.counts == pytest.approx([sums[key] for key in keys])
    listed = ListedDyads(i, j, people)
    first, second = np.array(sorted(counts)).T
    assert listed.between(first, second).tolist() == [counts[key] for key in sorted(counts)]
    assert listed.squares == sum(count**2 for count in counts.values())
