"""The nearest rows of another set, block by block, in an order that nothing but the scores sets."""

from dataclasses import dataclass

import numpy as np

from facever.evaluation.scoring.similarity import Floats, Ints, Scorer

_CELLS = 1 << 22  # scores held at once
_GROUP = 32  # columns of which the best is looked at first


@dataclass(frozen=True)
class Nearest:
    """The best k rows of the right side for each row of the left.

    Attributes:
        rows: int64 [N, k], best first; of equal scores the lower row number first.
        scores: float32 [N, k], the pairs' own scores (see `Scorer`).
        lowest: float32 [N], the lowest score with any row.
    """

    rows: Ints
    scores: Floats
    lowest: Floats


def rows_at_once(columns: int, cells: int) -> int:
    """Return how many rows of so many columns make a block of about so many cells."""
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

    A block's float32 products only screen; what may be among the best is scored again, so that the
    lists do not depend on blocks or threads.

    Args:
        scorer: Of both sides.
        k: 1 or more; as many rows as there are on the right are returned at most.
        own_first: Both sides are one set and every row comes first in its own list, whatever its
            duplicates score.
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
        first = np.searchsorted(at, np.arange(len(rows)))  # lexsort keeps each row's place
        chosen = order[first[:, None] + np.arange(k)]
        found.rows[rows], found.scores[rows] = column[chosen], scores[chosen]
    return found


def _at_most_kth(block: Floats, k: int) -> Floats:
    """Return, for each row, a value that at least k of its scores reach, close to the k-th largest.

    It is the k-th largest of the maxima of groups of columns.
    """
    columns = block.shape[1]
    groups = min(columns, max(4 * k, columns // _GROUP))
    tops = block[:, :groups].copy()
    for start in range(groups, columns - groups + 1, groups):
        np.maximum(tops, block[:, start : start + groups], out=tops)
    return np.partition(tops, groups - k, axis=1)[:, groups - k]
