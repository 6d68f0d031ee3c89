"""Retrieval (ReID): CMC, both mean average precisions, mINP; by blocks of queries.

For each query only the ranks of its positives matter. They are counted, not sorted: a positive's
rank is one more than the number of gallery rows that score at least as high as it does, so that a
tie never helps; junk (same identity and same camera) is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.console import table
from facever.errors import EvaluationError
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints, Scorer, make_scorer

DEFAULT_RANKS = (1, 5, 10, 20)
_QUERIES = 256
_MOST_RANKS = 1000


@dataclass(frozen=True)
class RetrievalResult:
    """What was retrieved.

    Attributes:
        queries: How many queries have a positive in the gallery.
        without_match: How many have none; they are left out.
        gallery: Rows of the gallery.
        cmc: float64 [R], the share of queries whose first positive is among the first r.
        map_plain: Mean over queries of mean_j j / r_j.
        map_trapezoid: The official Market-1501 form, averaging precision before and at each
            positive.
        minp: Mean over queries of P / r_P, P positives, the last at rank r_P.
        cross_camera: Whether positives of the query's own camera were left out.
        first_wrong: Queries whose first candidate is wrong, (query, candidate, score), highest
            scores first.
    """

    queries: int
    without_match: int
    gallery: int
    cmc: Doubles
    map_plain: float
    map_trapezoid: float
    minp: float
    similarity: str
    cross_camera: bool
    first_wrong: list[tuple[int, int, float]] = field(default_factory=list)

    def to_dict(self, ranks: Sequence[int] = DEFAULT_RANKS) -> dict[str, Any]:
        """Return the result as JSON values, the same as `--json` prints."""
        return {
            "protocol": "retrieval",
            "similarity": self.similarity,
            "cross_camera": self.cross_camera,
            "queries": self.queries,
            "queries_without_match": self.without_match,
            "gallery": self.gallery,
            "cmc": {str(rank): self.rank(rank) for rank in ranks},
            "map_plain": self.map_plain,
            "map_trapezoid": self.map_trapezoid,
            "minp": self.minp,
        }

    def rank(self, rank: int) -> float:
        """Return the share of queries with a positive among the first `rank`."""
        if rank < 1:
            raise EvaluationError(f"rank {rank} does not exist: ranks count from 1")
        return float(self.cmc[min(rank, len(self.cmc)) - 1])

    def to_text(self) -> str:
        """Return the result as a person reads it."""
        rule = "cross-camera" if self.cross_camera else "no camera rule"
        rows = [[f"rank {rank}", f"{self.rank(rank):.4f}"] for rank in DEFAULT_RANKS]
        rows += [
            ["mAP (plain)", f"{self.map_plain:.4f}"],
            ["mAP (trapezoid, Market-1501)", f"{self.map_trapezoid:.4f}"],
            ["mINP", f"{self.minp:.4f}"],
        ]
        return "\n".join(
            [
                f"{self.queries:,} queries in a gallery of {self.gallery:,}, {rule}, "
                f"{self.similarity} scores; {self.without_match:,} queries without match left out",
                "",
                table(["metric", "value"], rows),
            ]
        )


def retrieval(
    queries: ArrayLike,
    query_identities: ArrayLike,
    gallery: ArrayLike,
    gallery_identities: ArrayLike,
    *,
    query_cameras: ArrayLike | None = None,
    gallery_cameras: ArrayLike | None = None,
    similarity: str = "cosine",
) -> RetrievalResult:
    """Rank a gallery for each query.

    Args:
        queries: [Q, D], unit rows for "cosine".
        query_identities: [Q].
        gallery: [G, D].
        gallery_identities: [G]. A row called "-1" is junk to every query.
        query_cameras, gallery_cameras: [Q] and [G]; with both, gallery rows of the query's own
            identity and camera are junk (the cross-camera rule).
        similarity: "cosine", "euclidean" or "dot".

    Raises:
        EvaluationError: Shapes that do not fit, NaN, cameras of one side only, or no query with a
            positive.
    """
    sides = [checked_rows(queries, "queries"), checked_rows(gallery, "gallery")]
    names = [checked_names(query_identities, sides[0], "query identities")]
    names.append(checked_names(gallery_identities, sides[1], "gallery identities"))
    if (query_cameras is None) != (gallery_cameras is None):
        lacking = "query set" if query_cameras is None else "gallery"
        raise EvaluationError(f"the {lacking} has no cameras: give both sides' cameras or neither")
    cameras: list[Ints] | None = None
    if query_cameras is not None and gallery_cameras is not None:
        given = [
            checked_names(query_cameras, sides[0], "query cameras"),
            checked_names(gallery_cameras, sides[1], "gallery cameras"),
        ]
        cameras = shared_codes(given)
    people = shared_codes(names)
    scorer = make_scorer(sides[0], similarity, others=sides[1])
    ranks = _Ranks(scorer, people, cameras, junk=names[1] == "-1")
    found = ranks.count()
    if not found.queries:
        raise EvaluationError("no query has a positive in the gallery: nothing can be retrieved")
    return RetrievalResult(
        queries=found.queries,
        without_match=len(sides[0]) - found.queries,
        gallery=len(sides[1]),
        cmc=np.cumsum(found.first) / found.queries,
        map_plain=found.plain / found.queries,
        map_trapezoid=found.trapezoid / found.queries,
        minp=found.inverse_negative_penalty / found.queries,
        similarity=similarity,
        cross_camera=cameras is not None,
        first_wrong=sorted(found.wrong, key=lambda wrong: -wrong[2])[:50],
    )


@dataclass
class _Sums:
    """Sums over queries."""

    queries: int
    first: Ints
    plain: float = 0.0
    trapezoid: float = 0.0
    inverse_negative_penalty: float = 0.0
    wrong: list[tuple[int, int, float]] = field(default_factory=list)


class _Ranks:
    """Counts the ranks of positives, block of queries by block.

    The gallery is sorted by identity, so that the rows of a query's own identity stand together.
    """

    def __init__(
        self, scorer: Scorer, people: list[Ints], cameras: list[Ints] | None, junk: npt.NDArray[Any]
    ) -> None:
        self._order = np.argsort(people[1], kind="stable")
        self._right = scorer.right[self._order]
        self._left = scorer.left
        self._people = people[0], people[1][self._order]
        self._cameras = None if cameras is None else (cameras[0], cameras[1][self._order])
        self._junk = np.flatnonzero(junk[self._order])

    def count(self) -> _Sums:
        sums = _Sums(0, np.zeros(min(_MOST_RANKS, len(self._right)), np.int64))
        for start in range(0, len(self._left), _QUERIES):
            rows = np.arange(start, min(start + _QUERIES, len(self._left)))
            scores = self._left[rows] @ self._right.T
            scores[:, self._junk] = -np.inf
            self._block(rows, scores, sums)
        return sums

    def _block(self, rows: Ints, scores: Floats, sums: _Sums) -> None:
        """Add one block of queries."""
        own = self._people[0][rows]
        lows = np.searchsorted(self._people[1], own, side="left")
        highs = np.searchsorted(self._people[1], own, side="right")
        for at, (row, low, high) in enumerate(zip(rows, lows, highs, strict=True)):
            mine = scores[at, low:high].copy()
            if self._cameras is not None:
                mine = mine[self._cameras[1][low:high] != self._cameras[0][row]]
            positives = np.sort(mine[mine > -np.inf])[::-1]
            if not len(positives):
                continue
            scores[at, low:high] = -np.inf
            self._add(int(row), scores[at], positives, sums)

    def _add(self, row: int, others: Floats, positives: Floats, sums: _Sums) -> None:
        """Add one query: its positives in descending order among the scores of others."""
        count = len(positives)
        candidates = others[others >= positives[-1]]
        # with equal scores the others come first
        before = len(candidates) - np.searchsorted(np.sort(candidates), positives, side="left")
        number = np.arange(1, count + 1)
        ranks = before + number
        sums.queries += 1
        if ranks[0] <= len(sums.first):
            sums.first[ranks[0] - 1] += 1
        if ranks[0] > 1:
            best = int(np.argmax(others))
            sums.wrong.append((row, int(self._order[best]), float(others[best])))
        precision = number / ranks
        ahead = np.where(ranks > 1, (number - 1) / np.maximum(ranks - 1, 1), 1.0)
        sums.plain += float(precision.mean())
        sums.trapezoid += float(((precision + ahead) / 2).mean())
        sums.inverse_negative_penalty += count / float(ranks[-1])


def checked_rows(vectors: ArrayLike, name: str) -> Floats:
    """Return vectors as float32 [N, D], refusing what cannot be compared."""
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or not rows.size:
        raise EvaluationError(f"{name} must be a matrix [N, D], not of shape {rows.shape}")
    wrong = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))
    if len(wrong):
        raise EvaluationError(f"row {wrong[0]} of the {name} holds NaN or infinity")
    return rows


def checked_names(values: ArrayLike, rows: Floats, name: str) -> npt.NDArray[np.str_]:
    """Return one text per row, refusing missing ones."""
    column = pd.Series(np.asarray(values).ravel())
    if len(column) != len(rows):
        raise EvaluationError(f"{len(column)} {name} for {len(rows)} vectors")
    if column.isna().any():
        raise EvaluationError(f"{name}: value {int(column.isna().argmax())} is missing")
    return column.to_numpy().astype(str)


def shared_codes(sides: Sequence[npt.NDArray[np.str_]]) -> list[Ints]:
    """Number the names of two sides, equal names alike."""
    codes = pd.factorize(np.concatenate(sides))[0].astype(np.int64)
    return [codes[: len(sides[0])], codes[len(sides[0]) :]]
