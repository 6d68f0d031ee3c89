"""From entries to people: candidates for the best people, and the best by exact scores."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facever.gallery.records import Entries, Keys, Scores, Vectors
from facever.operating_point import ScoreRule

_ROWS_AT_ONCE = 16384
_QUERIES_AT_ONCE = 1024
_CELLS = 1 << 18  # scores of lists examined at once
_MOST = 1.5  # largest product of unit vectors, with margin for rounding


def leaders(
    scores: Scores, owners: Keys, k: int, slack: float | NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the entries of a list that can decide the best k people and their scores.

    An entry can decide if it is at most `slack` below the best entry of the k-th person and at most
    `slack` below the best entry of its own person.

    Args:
        scores: float32 [Q, M], each row descending.
        owners: Person of each entry, int64 [Q, M]; -1 for none.
        k: Number of people.
        slack: Largest error of the scores that can change their order, for all or each query, [Q].

    Returns:
        The entries, [Q, M]; and whether the list is long enough to contain all of them, [Q].
    """
    chosen, settled = np.zeros(scores.shape, bool), np.zeros(len(scores), bool)
    slacks = np.broadcast_to(slack, len(scores))[:, None]
    step = max(1, _CELLS // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        chosen[rows], settled[rows] = _leading(scores[rows], owners[rows], k, slacks[rows])
    return chosen, settled


def _leading(
    scores: Scores, owners: Keys, k: int, slacks: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the result of `leaders` for a block of rows, with their slacks [Q, 1]."""
    exact = scores.astype(np.float64)
    order = np.argsort(owners, axis=1, kind="stable")  # a person's entries remain descending
    whose = np.take_along_axis(owners, order, axis=1)
    begins = np.ones(owners.shape, bool)
    begins[:, 1:] = whose[:, 1:] != whose[:, :-1]
    at = np.maximum.accumulate(np.where(begins, np.arange(owners.shape[1]), 0), axis=1)
    first, best = np.empty_like(begins), np.empty_like(exact)
    np.put_along_axis(first, order, begins & (whose >= 0), axis=1)
    best_in_order = np.take_along_axis(exact, np.take_along_axis(order, at, axis=1), axis=1)
    np.put_along_axis(best, order, best_in_order, axis=1)
    kth = first & (np.cumsum(first, axis=1) == k)
    cut = np.max(exact, axis=1, initial=-np.inf, where=kth, keepdims=True) - slacks
    chosen = (owners >= 0) & (exact >= cut) & (exact >= best - slacks)
    return chosen, (exact[:, -1:] < cut)[:, 0]


def decisive(rows: Keys, owners: Keys, scores: Scores, k: int, slack: float) -> NDArray[np.bool_]:
    """Return which entries of complete lists can decide the best k people (see `leaders`), [M].

    Args:
        rows: The query of each score, int64 [M].
        owners: The person of each score, int64 [M].
        scores: float32 [M].
        k: Number of people.
        slack: Largest error of the scores that can change their order.
    """
    kept = np.zeros(len(rows), bool)
    if not len(rows):
        return kept
    order = np.lexsort((owners, rows))
    begins = _begins(rows[order], owners[order])
    best = np.maximum.reduceat(scores[order], np.flatnonzero(begins))
    whose = rows[order][begins]
    ranking = np.lexsort((-best, whose))
    rank = np.arange(len(whose)) - np.searchsorted(whose, whose)  # the queries are in order
    queries, at = np.unique(whose, return_inverse=True)
    last = np.full(len(queries), -np.inf)
    at_k = rank == k - 1
    last[at[at_k]] = best[ranking][at_k]
    floor = np.maximum(best, last[at])[np.cumsum(begins) - 1].astype(np.float64) - slack
    kept[order] = scores[order] >= floor
    return kept


def _begins(rows: Keys, owners: Keys) -> NDArray[np.bool_]:
    """Return where another query or person begins, of sorted pairs [M], at least one."""
    begins = np.ones(len(rows), bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (owners[1:] != owners[:-1])
    return begins


def ranked(
    rows: Keys, owners: Keys, scores: Scores, queries: int, k: int, rule: ScoreRule
) -> tuple[Scores, Keys]:
    """Return the best k people for each query by the scores of their entries.

    Args:
        rows: The query of each score, int64 [M].
        owners: The person of each score, int64 [M].
        scores: float32 [M].
        queries: Number of queries, Q.
        k: Number of people.
        rule: "max": a person's highest score; "mean": the mean, in float64.

    Returns:
        Scores float32 [Q, k] and people int64 [Q, k], best first, equal ones in order of their
        keys; -inf and -1 if there are fewer.
    """
    best_scores, best_owners = nobody(queries, k)
    if not len(rows):
        return best_scores, best_owners
    order = np.lexsort((owners, rows))
    rows, owners, scores = rows[order], owners[order], scores[order]
    starts = np.flatnonzero(_begins(rows, owners))
    if rule == "max":
        each = np.maximum.reduceat(scores, starts)
    else:
        sums = np.add.reduceat(scores.astype(np.float64), starts)
        each = (sums / np.diff(np.append(starts, len(rows)))).astype(np.float32)
    rows, owners = rows[starts], owners[starts]
    order = np.lexsort((owners, -each, rows))
    rows, owners, each = rows[order], owners[order], each[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = rank < k
    best_scores[rows[kept], rank[kept]] = each[kept]
    best_owners[rows[kept], rank[kept]] = owners[kept]
    return best_scores, best_owners


def nobody(queries: int, k: int) -> tuple[Scores, Keys]:
    """Return an answer without people: -inf and -1."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


class Part:
    """Entries that are searched together; removed ones have owner -1.

    Args:
        entries: The entries.
        grouped: Rows sorted by owner, from an earlier state of the same rows.
    """

    def __init__(self, entries: Entries, grouped: tuple[Keys, Keys] | None = None) -> None:
        self.entries = entries
        if grouped is not None:
            self.grouped = grouped

    def with_owners(self, owners: Keys) -> "Part":
        """Return the same rows, with some of them removed."""
        entries = self.entries._replace(owners=owners)
        return Part(entries, self.__dict__.get("grouped"))

    def only(self, numbers: Keys) -> "Part":
        """Return the same rows, with all removed but those of some numbers [N], ascending."""
        there = self.entries.numbers
        at = np.minimum(np.searchsorted(numbers, there), max(len(numbers) - 1, 0))
        chosen = numbers[at] == there if len(numbers) else np.zeros(len(there), bool)
        return Part(
            self.entries._replace(owners=np.where(chosen, self.entries.owners, -1)), self.grouped
        )

    @cached_property
    def grouped(self) -> tuple[Keys, Keys]:
        """Owners, ascending, and their rows."""
        order = np.argsort(self.entries.owners, kind="stable")
        return self.entries.owners[order], order

    def sizes_of(self, people: Keys) -> Keys:
        """Return the number of rows of each of these people, including rows removed since
        `grouped`.
        """
        owners = self.grouped[0]
        sizes: Keys = np.searchsorted(owners, people, side="right") - np.searchsorted(
            owners, people
        )
        return sizes

    def rows_of(self, people: Keys) -> Keys:
        """Return the rows of these people that are not removed, in arbitrary order."""
        owners, rows = self.grouped
        begins, counts = np.searchsorted(owners, people), self.sizes_of(people)
        ends = np.cumsum(counts)
        at = np.arange(counts.sum()) + np.repeat(begins - (ends - counts), counts)
        found: Keys = rows[at]
        return found[self.entries.owners[found] >= 0]


def best_of(
    queries: Vectors, k: int, people: Keys, parts: Sequence[Part], rule: ScoreRule
) -> tuple[Scores, Keys]:
    """Compare queries with every entry of some people, in float32, and return the best people.

    Args:
        queries: float32 [Q, D], unit rows.
        k: Number of people.
        people: Keys, int64 [P], without repetition.
        parts: The parts with their entries.
        rule: Maximum or mean of the cosine similarities over a person's entries.

    Returns:
        Scores float32 [Q, k] and people int64 [Q, k]; -inf and -1 if there are fewer.
    """
    scores, keys = nobody(len(queries), k)
    for owners, vectors in _gathered(people, parts):
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            block = slice(start, start + _QUERIES_AT_ONCE)
            cosines = queries[block] @ vectors.T
            # not a score of a unit vector: make the person a candidate, so that the vector is
            # verified
            cosines[~(np.abs(cosines) < _MOST)] = np.inf
            if rule == "max":
                found = np.maximum.reduceat(cosines, begins, axis=1)
            else:
                sums = np.add.reduceat(cosines, begins, axis=1, dtype=np.float64)
                found = (sums / np.diff(begins, append=len(owners))).astype(np.float32)
            scores[block], keys[block] = merged(
                (scores[block], keys[block]), top(found, owners[begins], k)
            )
    return scores, keys


def merged(first: tuple[Scores, Keys], second: tuple[Scores, Keys]) -> tuple[Scores, Keys]:
    """Return the best of two answers with different people, each [Q, k]."""
    scores = np.concatenate([first[0], second[0]], axis=1)
    keys = np.concatenate([first[1], second[1]], axis=1)
    return top(scores, keys, first[0].shape[1])


def mean_vectors(parts: Sequence[Part], dimension: int) -> tuple[Keys, Vectors]:
    """Return each person's key and the mean of their vectors, not normalised.

    The inner product with the mean is the mean cosine similarity over the person's entries.

    Args:
        parts: All entries.
        dimension: D.

    Returns:
        Keys int64 [P], ascending, and means float32 [P, D].
    """
    every = [part.entries.owners for part in parts]
    keys = np.unique(np.concatenate([np.empty(0, np.int64), *every]))
    keys = keys[keys >= 0]
    means = np.empty((len(keys), dimension), np.float32)
    at = 0
    for owners, vectors in _gathered(keys, parts):
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        sums = np.add.reduceat(vectors, begins, axis=0, dtype=np.float64)
        means[at : at + len(begins)] = sums / np.diff(begins, append=len(owners))[:, None]
        at += len(begins)
    return keys, means


def _gathered(people: Keys, parts: Sequence[Part]) -> Iterator[tuple[Keys, Vectors]]:
    """Yield owners [n], sorted by person, and vectors [n, D], in blocks of people."""
    sizes = sum((part.sizes_of(people) for part in parts), np.zeros(len(people), np.int64))
    pieces = np.cumsum(sizes) // _ROWS_AT_ONCE
    for some in np.split(people, np.flatnonzero(np.diff(pieces)) + 1):
        found = [(part.entries, part.rows_of(some)) for part in parts]
        owners = np.concatenate(
            [np.empty(0, np.int64), *(entries.owners[rows] for entries, rows in found)]
        )
        order = np.argsort(owners, kind="stable")
        if len(order):
            vectors = np.concatenate([entries.vectors[rows] for entries, rows in found])
            yield owners[order], vectors[order]


def top(scores: NDArray[np.float32], keys: Keys, k: int) -> tuple[Scores, Keys]:
    """Return the k best columns of each row, best first; -inf and -1 if there are fewer.

    Args:
        scores: float32 [Q, n].
        keys: Keys of the columns, int64 [n], or of each score, [Q, n].
        k: Number of columns.
    """
    best_scores, best_keys = nobody(len(scores), k)
    if keys.ndim == 1:
        keys = np.broadcast_to(keys, scores.shape)
    kept = min(k, scores.shape[1])
    if kept < scores.shape[1]:
        near = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        scores, keys = np.take_along_axis(scores, near, 1), np.take_along_axis(keys, near, 1)
    order = np.argsort(-scores, axis=1, kind="stable")
    best_scores[:, :kept] = np.take_along_axis(scores, order, axis=1)
    best_keys[:, :kept] = np.take_along_axis(keys, order, axis=1)
    return best_scores, best_keys
