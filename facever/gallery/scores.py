"""Scores that thresholds are compared with: `pair_cosines`, of the few pairs that can decide.

Products of whole blocks in float32 tell which pairs those are: all that lie within the rounding of
such a product (`slack`) of the best. So a pair has one score, whatever found it.
"""

import numpy as np

from facever.embeddings.unit import ROUNDING, pair_cosines
from facever.gallery.records import Keys, Scores, Vectors

_PAIRS = 256  # scored at a time: they stay in the cache
_COLUMNS = 8192


def slack(dimension: int) -> float:
    """Return how far two float32 products of unit rows may lie on the wrong sides of each other."""
    return 2 * (1.01 * (dimension + 1) * 2.0**-24 + 2 * ROUNDING)


def scores_of(queries: Vectors, rows: Keys, vectors: Vectors, columns: Keys) -> Scores:
    """Return the score of each pair of a query and a vector, float32 [M].

    Args:
        queries: float32 [Q, D].
        rows: Of the queries, int64 [M].
        vectors: float32 [N, D].
        columns: Of the vectors, int64 [M].
    """
    found = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        found[part] = pair_cosines(queries[rows[part]], vectors[columns[part]])
    return found


def all_scores(queries: Vectors, vectors: Vectors) -> Scores:
    """Return the scores of all queries [Q, D] with all vectors [N, D], float32 [Q, N]."""
    rows, columns = np.indices((len(queries), len(vectors)))
    found = scores_of(queries, rows.ravel(), vectors, columns.ravel())
    return found.reshape(len(queries), len(vectors))


def nearest_of(
    queries: Vectors, vectors: Vectors, among: Keys | None = None
) -> tuple[Scores, Keys]:
    """Return the best score of each query with some vectors, and which vector it is.

    Args:
        queries: float32 [Q, D], unit rows.
        vectors: float32 [N, D], unit rows.
        among: Which of the vectors, int64 [M]; by default all.

    Returns:
        float32 [Q] and positions among them, int64 [Q]; where there is no vector, -inf and -1.
    """
    best = np.full(len(queries), -np.inf, np.float32)
    which = np.full(len(queries), -1, np.int64)
    count = len(vectors) if among is None else len(among)
    for start in range(0, count, _COLUMNS):
        part = slice(start, start + _COLUMNS)
        block = vectors[part] if among is None else vectors[among[part]]
        near = queries @ block.T
        cut = near.max(axis=1, keepdims=True) - slack(queries.shape[1])
        rows, columns = np.nonzero(near >= cut)
        found = scores_of(queries, rows, block, columns)
        order = np.lexsort((columns, -found, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        better = found[first] > best[rows[first]]
        first = first[better]
        best[rows[first]], which[rows[first]] = found[first], columns[first] + start
    return best, which
