"""k-reciprocal re-ranking on N x N matrices: the reference of the sparse form.

Written from the paper, one step after the other, for tests and for `tools/bench/evaluation.py`.

Reference:
    Zhong, Zheng, Cao, Li, Re-ranking person re-identification with k-reciprocal encoding, CVPR
    2017, section 3.
"""

import numpy as np


def squared_distances(rows: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distances of all rows, [N, N], of the rows' precision."""
    squares = np.einsum("nd,nd->n", rows, rows)
    distances = squares[:, None] + squares - 2 * (rows @ rows.T)
    np.fill_diagonal(distances, 0)
    return np.maximum(distances, 0)


def reranked_distances(
    queries: np.ndarray,
    gallery: np.ndarray,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> np.ndarray:
    """Return the final distances of queries [Q, D] and gallery [G, D], [Q, G]."""
    distances = squared_distances(np.concatenate([queries, gallery]))
    distances /= distances.max(axis=1, keepdims=True)
    size = len(distances)
    lists = own_first(distances)
    encoded = np.zeros_like(distances)
    for row in range(size):
        members = k_reciprocal(lists, row, k1)
        expanded = set(members)
        for member in members:
            others = k_reciprocal(lists, member, int(np.around(k1 / 2)))
            if 3 * len(set(others) & set(members)) > 2 * len(others):
                expanded |= set(others)
        columns = sorted(expanded)
        weights = np.exp(-distances[row, columns])
        encoded[row, columns] = weights / weights.sum()
    if k2 > 1:
        encoded = np.stack([encoded[lists[row, :k2]].mean(axis=0) for row in range(size)])
    holders = [np.flatnonzero(column) for column in encoded.T]
    jaccard = np.empty((len(queries), size), distances.dtype)
    for query in range(len(queries)):
        shared = np.zeros(size, distances.dtype)
        for column in np.flatnonzero(encoded[query]):
            rows = holders[column]
            shared[rows] += np.minimum(encoded[query, column], encoded[rows, column])
        jaccard[query] = 1 - shared / (2 - shared)
    final = (1 - lambda_value) * jaccard + lambda_value * distances[: len(queries)]
    return final[:, len(queries) :]


def own_first(distances: np.ndarray) -> np.ndarray:
    """Return each row's list of all rows, itself first, then the nearest; ties by row number."""
    lists = np.argsort(distances, axis=1, kind="stable")
    for row, others in enumerate(lists):
        place = int(np.flatnonzero(others == row)[0])
        others[1 : place + 1] = others[:place].copy()
        others[0] = row
    return lists


def k_reciprocal(lists: np.ndarray, row: int, k: int) -> list[int]:
    """Return the first k of a row's list, and the row itself, that have it among their own."""
    near = lists[row, : k + 1]
    return near[(lists[near, : k + 1] == row).any(axis=1)].tolist()
