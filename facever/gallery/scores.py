"""Scores that are compared with thresholds: `pair_cosines` of the few pairs that can decide.

Float32 products of whole blocks select these pairs: all within rounding (`slack`) of the best. So
the score of a pair does not depend on how it was found.
"""

import numpy as np

from facever.embeddings.unit import ROUNDING, pair_cosines
from facever.gallery.records import Keys, Scores, Vectors

_PAIRS = 256  # pairs scored at once: they fit into the cache
_COLUMNS = 8192


def slack(dimension: int) -> float:
    """Return the largest rounding difference that can exchange two float32 products of unit
    rows.
    """
    return 2 * (1.01 * (dimension + 1) * 2.0**-24 + 2 * ROUNDING)


def scores_of(queries: Vectors, rows: Keys, vectors: Vectors, columns: Keys) -> Scores:
    """Return the score of each pair of query and vector, float32 [M].

    Args:
        queries: float32 [Q, D].
        rows: Row of the query of each pair, int64 [M].
        vectors: float32 [N, D].
        columns: Row of the vector of each pair, int64 [M].
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
    """Return the best score of each query with some vectors, and the position of that vector.

    Args:
        queries: float32 [Q, D], unit rows.
        vectors: float32 [N, D], unit rows.
        among: Rows of the vectors to use, int64 [M]; by default all.

    Returns:
        Scores float32 [Q] and positions among the used vectors, int64 [Q]; -inf and -1 without
        vectors.
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
