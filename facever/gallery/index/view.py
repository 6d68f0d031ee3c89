"""What searches see: some entries, as they were at one change."""

from functools import cached_property

import numpy as np

from facever.evaluation.operating_point import ScoreRule
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.engine import Entries, Scores
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.people import Part, best_of, best_people, mean_vectors, nobody
from facever.gallery.records import Keys, Vectors

_CELLS = 1 << 22  # scores held at once
_LEAST_PROPOSED, _MOST_PROPOSED = 64, 4096  # entries, of which exact scores pick people
_OVERSAMPLED = 4  # times the entries that exact search would look at first


class View:
    """The entries at one change, which never change under a search.

    Args:
        parts: Snapshot and tail.
        people: How many people there are, at most.
        approximate: Proposes rows of the snapshot, or None for exact search.
    """

    def __init__(self, parts: list[Part], people: int, approximate: Approximate | None) -> None:
        self.parts, self.people, self._approximate = parts, people, approximate

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None
    ) -> tuple[Scores, Keys]:
        """Search as an `Engine` does.

        Queries of another width are of a model that a migration has just replaced: nobody is found,
        and who asks sees by the store's generation that he must ask again.
        """
        if queries.shape[1] != self.parts[0].entries.vectors.shape[1]:
            return nobody(len(queries), k)
        if among is not None:
            return best_of(queries, k, np.unique(among), self.parts, rule)
        if self._approximate is not None:
            return self._by_proposals(queries, k, rule, self._approximate)
        return self._exact(queries, k, rule)

    @property
    def _living(self) -> list[Entries]:
        return [part.entries for part in self.parts if len(part.entries.numbers)]

    @cached_property
    def _means(self) -> Entries:
        keys, means = mean_vectors(self.parts, self.parts[0].entries.vectors.shape[1])
        return Entries(keys, keys, means)

    def _exact(self, queries: Vectors, k: int, rule: ScoreRule) -> tuple[Scores, Keys]:
        """Widen the search from the best entries until k people are among them."""
        entries = self._living if rule == "max" else [self._means]
        total, people = sum(len(some.numbers) for some in entries), self.people
        wanted = min(k, people)
        scores, keys = nobody(len(queries), k)
        pending = np.arange(len(queries))
        depth = min(total, wanted * min(8, -(-total // max(people, 1))))
        while len(pending) and depth:
            unfinished = []
            for block in _split(pending, max(1, _CELLS // depth)):
                near = nearest(queries[block], depth, entries)
                scores[block], keys[block] = best_people(*near, k)
                unfinished.append(block[(keys[block] >= 0).sum(axis=1) < wanted])
            pending = np.concatenate(unfinished) if depth < total else pending[:0]
            depth = min(total, depth * 8)
        return scores, keys

    def _by_proposals(
        self, queries: Vectors, k: int, rule: ScoreRule, approximate: Approximate
    ) -> tuple[Scores, Keys]:
        """Score the people of the proposed entries exactly; widen while there are fewer than k."""
        total = sum(len(some.numbers) for some in self._living)
        wanted = min(k, self.people)
        scores, keys = nobody(len(queries), k)
        pending = np.arange(len(queries))
        each = min(8, -(-total // max(self.people, 1)))
        depth = max(_LEAST_PROPOSED, _OVERSAMPLED * wanted * each)
        while len(pending) and depth <= _MOST_PROPOSED:
            unfinished = []
            for block in _split(pending, max(1, _CELLS // depth)):
                owners = self._proposed(queries[block], depth, approximate)
                for row, of in zip(block, owners, strict=True):
                    people = np.unique(of[of >= 0])
                    if len(people) < wanted:
                        unfinished.append(row)
                        continue
                    query = queries[row : row + 1]
                    scores[row], keys[row] = (
                        found[0] for found in best_of(query, k, people, self.parts, rule)
                    )
            pending = np.array(unfinished, np.int64)
            depth *= 8
        if len(pending):
            scores[pending], keys[pending] = self._exact(queries[pending], k, rule)
        return scores, keys

    def _proposed(self, queries: Vectors, depth: int, approximate: Approximate) -> Keys:
        """Return whose the entries near each query are, int64 [Q, n]; -1 of nobody."""
        first, covered = self.parts[0].entries, approximate.covered
        rows = approximate.propose(queries, depth)
        owners = np.where(rows >= 0, first.owners[rows], -1)
        later = [first.rows(slice(covered, None)), self.parts[1].entries]
        later = [entries for entries in later if len(entries.numbers)]
        if not later:
            return owners
        return np.concatenate([owners, nearest(queries, depth, later)[1]], axis=1)


def nearest(queries: Vectors, depth: int, entries: list[Entries]) -> tuple[Scores, Keys]:
    """Return scores and owners [Q, depth] of the nearest entries, the best first.

    Args:
        queries: float32 [Q, D], unit rows.
        depth: How many; fewer where there are fewer.
        entries: Where to search.
    """
    faiss = import_faiss()
    scores, owners = [], []
    for _, part_owners, vectors in entries:
        near, at = faiss.knn(
            queries, vectors, min(depth, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT
        )
        scores.append(near)
        owners.append(part_owners[at])
    if len(scores) == 1:
        return scores[0], owners[0]
    all_scores, all_owners = np.concatenate(scores, axis=1), np.concatenate(owners, axis=1)
    best = np.argsort(-all_scores, axis=1, kind="stable")[:, :depth]
    return (
        np.take_along_axis(all_scores, best, axis=1),
        np.take_along_axis(all_owners, best, axis=1),
    )


def _split(positions: Keys, size: int) -> list[Keys]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]
