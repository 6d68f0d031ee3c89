"""Ranks of the positives of each query in a gallery.

The ranks of positives are counted without sorting: the rank of a positive is one more than the
number of gallery rows with at least its score, so that ties count against it. Scores too close to a
positive for float32 products are computed again exactly, so that ranks do not depend on blocks or
threads. Junk (same identity and same camera) is excluded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from facever.evaluation.one_to_many.nearest import below, rows_at_once
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints, PairScorer

_CELLS = 1 << 22  # scores held at once


class WrongFirst(NamedTuple):
    """A query whose first candidate is wrong.

    Attributes:
        query, candidate, right: Rows of the query, of its first candidate and of its best positive.
        score, right_score: Of the candidate and of the best positive.
    """

    query: int
    candidate: int
    score: float
    right: int
    right_score: float


@dataclass(frozen=True)
class QueryRanks:
    """Ranks and precisions of each query with a positive.

    Attributes:
        rows: int64 [Q], the row of the query.
        people: int64 [Q], a number for its identity.
        first: int64 [Q], rank of the first positive.
        plain, trapezoid: float64 [Q], average precision by both definitions.
        minp: float64 [Q], inverse negative penalty P / r_P.
        wrong: Queries whose first candidate is wrong, in the order of the rows.
    """

    rows: Ints
    people: Ints
    first: Ints
    plain: Doubles
    trapezoid: Doubles
    minp: Doubles
    wrong: list[WrongFirst]


class Ranking(Protocol):
    """Scores of queries with a gallery, block by block."""

    @property
    def error(self) -> float:
        """Bound on the error of a block's scores; 0 if they are exact."""

    def block(self, rows: Ints) -> Floats:
        """Return the scores of some queries with the whole gallery, [b, G], in a new array."""

    def own(self, row: int, columns: Ints, scores: Floats) -> Floats:
        """Return exact scores of one query, [K], given those of the block."""


@dataclass(frozen=True)
class ByScore:
    """The ranking by a similarity."""

    scorer: PairScorer

    @property
    def error(self) -> float:
        """Error bound of float32 products."""
        return self.scorer.error

    def block(self, rows: Ints) -> Floats:
        """Return the products of some queries with the gallery."""
        product: Floats = self.scorer.block(rows, slice(None))
        return product

    def own(self, row: int, columns: Ints, scores: Floats) -> Floats:  # noqa: ARG002
        """Return exact scores of one query."""
        scores_of_pairs: Floats = self.scorer.pairs(np.full(len(columns), row), columns)
        return scores_of_pairs


@dataclass(frozen=True)
class Sides:
    """Identities and cameras of queries and gallery rows.

    Attributes:
        queries, gallery: int64 [Q] and [G], identities with common numbers.
        cameras: int64 [Q] and [G], or None without a cross-camera rule.
        junk: Bool [G], rows that are excluded for every query.
        left_out: Returns bool [G], the rows that a query is not compared with; by default none.
    """

    queries: Ints
    gallery: Ints
    cameras: tuple[Ints, Ints] | None
    junk: Bools
    left_out: Callable[[int], Bools] | None = None

    def of_own_person(self) -> Ints:
        """Count the gallery rows of each query's person without junk, int64 [Q]."""
        return _occurrences(self.queries, self.gallery[~self.junk])

    def positives(self) -> Ints:
        """Count each query's positives, int64 [Q], without those of its own camera."""
        if self.cameras is None:
            return self.of_own_person()
        cameras = int(max(side.max(initial=0) for side in self.cameras)) + 1
        first = self.queries * cameras + self.cameras[0]
        second = (self.gallery * cameras + self.cameras[1])[~self.junk]
        return self.of_own_person() - _occurrences(first, second)


def _occurrences(wanted: Ints, there: Ints) -> Ints:
    """Count how often each number of `wanted` occurs in the other array, int64."""
    ordered = np.sort(there)
    ends = (np.searchsorted(ordered, wanted, side=side) for side in ("left", "right"))
    first, last = ends
    return np.asarray(last - first, np.int64)


def shown_ranks(last: int, points: int = 60) -> list[int]:
    """Return ranks from 1 to `last` for a CMC, denser at small ranks."""
    return [int(rank) for rank in np.unique(np.geomspace(1, last, points).astype(np.int64))]


def query_ranks(ranking: Ranking, sides: Sides) -> QueryRanks:
    """Rank the gallery for every query that has a positive in it."""
    counter = _Counter(ranking, sides)
    size, gallery = len(sides.queries), len(sides.gallery)
    step = rows_at_once(gallery, _CELLS)
    for start in range(0, size, step):
        rows = np.arange(start, min(start + step, size))
        for row, scores in zip(rows, ranking.block(rows), strict=True):
            counter.add(int(row), scores)
    return counter.found()


class _Counter:
    """Counts the ranks of positives, query by query."""

    def __init__(self, ranking: Ranking, sides: Sides) -> None:
        self._ranking, self._sides = ranking, sides
        self._by_person = np.argsort(sides.gallery, kind="stable")
        people = sides.gallery[self._by_person]
        self._lows = np.searchsorted(people, sides.queries, side="left")
        self._highs = np.searchsorted(people, sides.queries, side="right")
        self._junk = np.flatnonzero(sides.junk)
        self._rows: list[int] = []
        self._values: list[tuple[float, float, float, float]] = []
        self._wrong: list[WrongFirst] = []

    def add(self, row: int, scores: Floats) -> None:
        """Rank the gallery for one query; overwrites its scores [G]."""
        same = self._by_person[self._lows[row] : self._highs[row]]
        positives = same[~self._sides.junk[same]]
        if self._sides.cameras is not None:
            queries, gallery = self._sides.cameras
            positives = positives[gallery[positives] != queries[row]]
        if self._sides.left_out is not None:
            left_out = self._sides.left_out(row)
            positives = positives[~left_out[positives]]
            scores[left_out] = -np.inf
        if not len(positives):
            return
        scores[self._junk] = -np.inf
        own = self._ranking.own(row, positives, scores[positives])
        scores[same] = -np.inf
        count = len(positives)
        number = np.arange(1, count + 1)
        ranks = self._ahead(row, scores, np.sort(own)) + number
        precision = number / ranks
        before = np.where(ranks > 1, (number - 1) / np.maximum(ranks - 1, 1), 1.0)
        self._rows.append(row)
        self._values.append(
            (ranks[0], precision.mean(), ((precision + before) / 2).mean(), count / ranks[-1])
        )
        if ranks[0] > 1:
            best = positives[own == own.max()][0]
            candidate, score = self._highest(row, scores)
            self._wrong.append(WrongFirst(row, candidate, score, int(best), float(own.max())))

    def _ahead(self, row: int, scores: Floats, ascending: Floats) -> Ints:
        """Count the other rows before each positive, best positive first.

        Args:
            row: The query.
            scores: float32 [G], scores of the other rows, -inf for excluded rows.
            ascending: float32 [P], exact scores of the positives.
        """
        error = self._ranking.error
        lowest = below(ascending[:1], error)[0] if error else ascending[0]
        values = np.sort(scores[scores >= lowest])
        if error:
            exact = ascending.astype(np.float64)
            sure = np.searchsorted(values, exact - error, side="left")
            if not np.array_equal(sure, np.searchsorted(values, exact + error, side="right")):
                pool = np.flatnonzero(scores >= lowest)
                values = scores[pool]
                reached = np.searchsorted(exact - error, values, side="right")
                near = reached > np.searchsorted(exact + error, values, side="left")
                values[near] = self._ranking.own(row, pool[near], values[near])
                values.sort()
        return len(values) - np.searchsorted(values, ascending[::-1], side="left")

    def _highest(self, row: int, scores: Floats) -> tuple[int, float]:
        """Return the best other row and its score; the lowest row for equal scores."""
        error = self._ranking.error
        top = np.flatnonzero(scores >= below(scores.max(keepdims=True), 2 * error)[0])
        values = self._ranking.own(row, top, scores[top])
        best = int(np.argmax(values))
        return int(top[best]), float(values[best])

    def found(self) -> QueryRanks:
        """Return the results of all queries."""
        rows = np.array(self._rows, np.int64)
        values = np.array(self._values, np.float64).reshape(-1, 4)
        return QueryRanks(
            rows,
            self._sides.queries[rows],
            values[:, 0].astype(np.int64),
            values[:, 1],
            values[:, 2],
            values[:, 3],
            self._wrong,
        )
