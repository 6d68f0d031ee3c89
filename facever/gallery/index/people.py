"""From images to people: the best people among ranked images, and the mean vector of each."""

import numpy as np
from numpy.typing import NDArray

from facever.gallery.records import Keys, Vectors

_ROWS_AT_ONCE = 65536


def best_people(
    scores: NDArray[np.float32], owners: Keys, k: int
) -> tuple[NDArray[np.float32], Keys]:
    """Keep the first image of each person.

    Args:
        scores: float32 [Q, M], each row falling.
        owners: Whose image each is, int64 [Q, M]; -1 for nobody's.
        k: How many people to keep.

    Returns:
        Scores float32 [Q, k] and people int64 [Q, k]; where there are fewer, -inf and -1.
    """
    order = np.argsort(owners, axis=1, kind="stable")
    grouped = np.take_along_axis(owners, order, axis=1)
    begins = np.ones(owners.shape, bool)
    begins[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    first = np.empty(owners.shape, bool)
    np.put_along_axis(first, order, begins, axis=1)
    first &= owners >= 0
    rank = np.cumsum(first, axis=1) - 1
    rows, columns = np.nonzero(first & (rank < k))
    best_scores = np.full((len(scores), k), -np.inf, np.float32)
    best_owners = np.full((len(scores), k), -1, np.int64)
    best_scores[rows, rank[rows, columns]] = scores[rows, columns]
    best_owners[rows, rank[rows, columns]] = owners[rows, columns]
    return best_scores, best_owners


def mean_vectors(parts: list[tuple[Vectors, Keys, Keys]], dimension: int) -> tuple[Keys, Vectors]:
    """Return each person's key and the mean of their vectors, not normalised.

    The inner product with it is the mean cosine over the person's images.

    Args:
        parts: (vectors [N, D], images [N], owners [N]); rows with owner -1 are left out.
        dimension: D.

    Returns:
        Keys int64 [P], ascending, and means float32 [P, D].
    """
    every = np.concatenate([np.empty(0, np.int64), *(owners for _, _, owners in parts)])
    keys, counts = np.unique(every[every >= 0], return_counts=True)
    sums = np.zeros((len(keys), dimension))
    for vectors, _, owners in parts:
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            living = owners[block] >= 0
            order = np.argsort(owners[block][living], kind="stable")
            of, begins = np.unique(owners[block][living][order], return_index=True)
            if len(of):
                ordered = vectors[block][living][order].astype(np.float64)
                sums[np.searchsorted(keys, of)] += np.add.reduceat(ordered, begins, axis=0)
    return keys, (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
