"""The nearest rows of another set, computed by blocks, in an order that depends on scores only."""

from dataclasses import dataclass

import numpy as np

from facever.evaluation.scoring.similarity import Floats, Ints, Scorer

_CELLS = 1 << 22  # scores held at once
_GROUP = 32  # columns per group; the best of each group is compared first


@dataclass(frozen=True)
class Nearest:
    """The k best rows of the right side for each row of the left side.

    Attributes:
        rows: int64 [N, k], best first; the lower row number first for equal scores.
        scores: float32 [N, k], exact scores of the pairs (see `Scorer`).
        lowest: float32 [N], the lowest score with any row.
    """

    rows: Ints
    scores: Floats
    lowest: Floats


def rows_at_once(columns: int, cells: int) -> int:
    """Return the number of rows of a block with this many columns and about `cells` cells."""
    return max(1, cells // max(columns, 1))


def below(scores: Floats, distance: float) -> Floats:
    """Return float32 values at least `distance` below the scores."""
    lower = (scores.astype(np.float64) - distance).astype(np.float32)
    return np.nextafter(lower, np.float32(-np.inf))


def above(scores: Floats, distance: float) -> Floats:
    """Return float32 values at least `distance` above the scores."""
    return -below(-scores, distance)


def nearest(scorer: Scorer, k: int, *, own_first: bool = False) -> Nearest:
    """Find the k nearest rows on the right of every row on the left.

    Float32 products of blocks are a first filter; possible best rows are scored again exactly, so
    that the lists do not depend on blocks or threads.

    Args:
        scorer: Scorer of both sides.
        k: 1 or more; at most the number of rows on the right is returned.
        own_first: Whether both sides are one set and every row is first in its own list, before
            its duplicates.
    """
    size, columns = len(scorer.left), len(scorer.right)
    k = min(k, columns)
    found = Nearest(
        np.empty((size, k), np.int64), np.empty((size, k), np.float32), np.empty(size, np.float32)
    )
    step = rows_at_once(columns, _CELLS)
    for start in range(0, size, step):
        rows = np.arange(start, min(start + step, size))
        block = scorer.left[rows] @ scorer.right.T
        found.lowest[rows] = block.min(axis=1)
        if own_first:
            block[np.arange(len(rows)), rows] = np.inf
        floor = below(_at_most_kth(block, k), 2 * scorer.error)
        at, column = np.divmod(np.flatnonzero(block >= floor[:, None]), columns)
        scores = scorer.pairs(rows[at], column)
        rank_by = np.where(column == rows[at], np.inf, scores) if own_first else scores
        order = np.lexsort((column, -rank_by, at))
        first = np.searchsorted(at, np.arange(len(rows)))  # lexsort keeps the order of rows
        chosen = order[first[:, None] + np.arange(k)]
        found.rows[rows], found.scores[rows] = column[chosen], scores[chosen]
    return found


def _at_most_kth(block: Floats, k: int) -> Floats:
    """Return a lower bound of the k-th largest score of each row.

    It is the k-th largest of the maxima of groups of columns.
    """
    columns = block.shape[1]
    groups = min(columns, max(4 * k, columns // _GROUP))
    tops = block[:, :groups].copy()
    for start in range(groups, columns - groups + 1, groups):
        np.maximum(tops, block[:, start : start + groups], out=tops)
    return np.partition(tops, groups - k, axis=1)[:, groups - k]
