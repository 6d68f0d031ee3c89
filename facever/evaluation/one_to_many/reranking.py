"""k-reciprocal re-ranking from nearest neighbours, without an N x N matrix.

Queries and gallery are one set of N rows. A row is a k-reciprocal neighbour of another if each is
among the k nearest of the other. Each row is encoded as a sparse vector of weights over its
k-reciprocal neighbours; the distance of two rows is the Jaccard distance of these vectors. All but
the last step use the k1 + 1 nearest neighbours of a row only; the final distances are computed for
a block of queries at a time.

The distances depend on all other rows, so they are not scores of pairs of images: thresholds of a
verification do not apply to them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.nearest import nearest
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer
from facever.render.values import Record

_ENTRIES = 1 << 20  # overlaps summed up at once


@dataclass(frozen=True)
class Reranking(Record):
    """The parameters of k-reciprocal re-ranking.

    Args:
        k1: Number of neighbours that can be reciprocal, 1 or more.
        k2: Number of rows averaged in the local query expansion, 1 (none) or more.
        lambda_value: Share of the original distance in the final one, 0..1.

    Raises:
        EvaluationError: A value is out of range.

    Reference:
        Zhong, Zheng, Cao, Li, Re-ranking person re-identification with k-reciprocal encoding, CVPR
        2017, section 3; the defaults are theirs.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1:
            raise EvaluationError(
                f"re-ranking with k1 {self.k1} and k2 {self.k2}: both must be 1 or more"
            )
        if not 0 <= self.lambda_value <= 1:
            raise EvaluationError(
                f"re-ranking with lambda {self.lambda_value}: it must be from 0 to 1"
            )

    def __str__(self) -> str:
        return f"k-reciprocal re-ranking (k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_value:g})"

    json_keys = "k1 k2 lambda=lambda_value"


class Reranked:
    """The ranking of a gallery by re-ranked distances; its scores are minus the distances.

    The original algorithm uses an N x N matrix. Details, including our choices where the paper is
    open:

    - The original distance is the squared Euclidean one (of unit rows for "cosine"), divided by
      each row's largest distance to any of the N rows.
    - A row is first in its own list, so it is one of its own reciprocal neighbours. For equal
      distances the lower row comes first (our choice).
    - Half of k1 is rounded to the nearest whole number, ties to even.
    - A neighbour's own reciprocal set is added when more than two thirds of it are in the row's;
      at two thirds exactly it is not.
    - Weights exp(-d) are divided by their sum, so that the sum of maxima in Jaccard's distance is
      2 minus the sum of minima.
    - All N rows are used, including junk and distractors: identities are unknown when ranking.

    Args:
        queries: float32 [Q, D], unit rows for "cosine".
        gallery: float32 [G, D].
        settings: The parameters.
        similarity: "cosine" or "euclidean".

    Raises:
        EvaluationError: The similarity is "dot", which has no distance.
    """

    error = 0.0

    def __init__(
        self, queries: Floats, gallery: Floats, settings: Reranking, similarity: str = "cosine"
    ) -> None:
        if similarity == "dot":
            raise EvaluationError(
                "re-ranking needs a distance: use the similarity cosine or euclidean, not dot"
            )
        self._settings, self._similarity = settings, similarity
        self._scorer = make_scorer(np.concatenate([queries, gallery]), similarity)
        self._queries = len(queries)
        self._gallery = len(gallery)
        found = nearest(self._scorer, max(settings.k1 + 1, settings.k2), own_first=True)
        farthest = self._distances(found.lowest)
        self._farthest = np.where(farthest > 0, farthest, np.float32(1))
        weights = self._weights(found.rows[:, : settings.k1 + 1])
        if settings.k2 > 1:
            averaged = found.rows[:, : settings.k2]
            weights = (_lists(averaged) @ weights) / np.float32(averaged.shape[1])
        self._left: csr_matrix = weights[: self._queries].tocsr()
        # by neighbour: the gallery rows with it, and their weights
        self._right: csr_matrix = weights[self._queries :].T.tocsr()

    def block(self, rows: Ints) -> Floats:
        """Return minus the final distances of some queries to the whole gallery."""
        share = np.float32(self._settings.lambda_value)
        scores = self._scorer.left[rows] @ self._scorer.right[self._queries :].T
        scores = self._distances(scores)
        scores *= -share / self._farthest[rows, None]
        scores -= (1 - share) * self._jaccard(rows)
        return scores

    def own(self, row: int, columns: Ints, scores: Floats) -> Floats:  # noqa: ARG002
        """Return the given scores: those of a block are exact."""
        return scores

    def _distances(self, scores: Floats) -> Floats:
        """Turn scores into squared distances, in place."""
        if self._similarity == "cosine":
            scores -= 1
            scores *= 2
        np.negative(scores, out=scores)
        return np.maximum(scores, 0, out=scores)

    def _weights(self, lists: Ints) -> csr_matrix:
        """Return the k-reciprocal encoding of every row, float32 [N, N] with sums of 1."""
        own = _reciprocal(lists)
        half = _reciprocal(lists[:, : round(self._settings.k1 / 2) + 1])
        shared = (own @ half).multiply(own).tocsr()  # |R(i, k1) & R(j, k1 / 2)| for j in R(i, k1)
        sizes = np.diff(half.indptr)
        shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
        shared.eliminate_zeros()
        members = (own + shared @ half).tocoo()
        distances = self._distances(self._scorer.pairs(members.row, members.col))
        weights = np.exp(-distances / self._farthest[members.row])
        sums = np.bincount(members.row, weights=weights, minlength=len(lists))
        weights /= sums[members.row].astype(np.float32)
        return csr_matrix((weights, (members.row, members.col)), shape=members.shape)

    def _jaccard(self, rows: Ints) -> Floats:
        """Return the Jaccard distance of some queries to the whole gallery, [b, G].

        Only gallery rows that share a neighbour with the query are visited.
        """
        found = np.empty((len(rows), self._gallery), np.float32)
        touched = np.diff(self._right.indptr)
        part = self._left[rows]
        upto = np.concatenate([[0], np.cumsum(touched[part.indices])])[part.indptr]
        start = 0
        while start < len(rows):
            stop = int(np.searchsorted(upto, upto[start] + _ENTRIES, side="right")) - 1
            stop = max(stop, start + 1)
            found[start:stop] = self._overlaps(part[start:stop])
            start = stop
        return 1 - found / (2 - found)

    def _overlaps(self, left: csr_matrix) -> Floats:
        """Return the sums of minima of weights, [b, G]."""
        right = self._right
        starts, counts = right.indptr[left.indices], np.diff(right.indptr)[left.indices]
        skipped = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        entries = np.arange(counts.sum()) + skipped
        row = np.repeat(np.arange(left.shape[0]), np.diff(left.indptr))
        cells = np.repeat(row * self._gallery, counts) + right.indices[entries]
        least = np.minimum(np.repeat(left.data, counts), right.data[entries])
        sums = np.bincount(cells, weights=least, minlength=left.shape[0] * self._gallery)
        return sums.reshape(left.shape[0], self._gallery).astype(np.float32)


def _lists(rows: Ints) -> csr_matrix:
    """Return the membership of rows in lists, int32 [N, N] of ones."""
    size, length = rows.shape
    ends = np.arange(0, size * length + 1, length)
    ones = np.ones(size * length, np.int32)
    return csr_matrix((ones, np.sort(rows, axis=1).ravel(), ends), shape=(size, size))


def _reciprocal(rows: Ints) -> csr_matrix:
    """Return the pairs of rows that are in each other's lists, int32 [N, N] of ones."""
    lists = _lists(rows)
    return lists.multiply(lists.T).tocsr()
