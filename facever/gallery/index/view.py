"""The view of a search: the entries at one change of the store.

A search has two steps. Products in float32, or an approximate index, propose the few entries that
can be among the best. Then their vectors are verified by checksums, and exact scores decide.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.gallery.checksums import intact
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.kinds import FLAT
from facever.gallery.index.people import Part, best_of, leaders, mean_vectors, nobody, ranked
from facever.gallery.records import Entries, Keys, Scores, Vectors, joined
from facever.gallery.scores import scores_of, slack
from facever.operating_point import ScoreRule

_CELLS = 1 << 22  # scores in memory at once
_JUDGED = 1 << 15  # pairs with vectors in memory at once
_LEAST_PROPOSED, _MOST_PROPOSED = 64, 4096  # entries proposed for exact scores
_OVERSAMPLED = 4  # times the entries that exact search proposes first
_MORE = 8  # additional people, or entries, for scores that are nearly equal


class DamagedError(Exception):
    """Entries read by a search are damaged.

    Args:
        numbers: Numbers of the entries, int64 [N].
    """

    def __init__(self, numbers: Keys) -> None:
        super().__init__(f"{len(numbers)} damaged entries")
        self.numbers = numbers


class Pairs(NamedTuple):
    """Pairs to score: rows of the queries and positions of entries, int64 [M]."""

    rows: Keys
    positions: Keys


class View:
    """The entries at one change of the store; they do not change during a search.

    A position is a row of the parts, one after the other.

    Args:
        parts: The parts of the snapshot, of the tail, and others.
        people: Upper bound of the number of people.
        approximate: An index that proposes rows of the first part; None for exact search.
    """

    def __init__(self, parts: list[Part], people: int, approximate: Approximate | None) -> None:
        self.parts, self.people, self._approximate = parts, people, approximate
        sizes = [len(part.entries.numbers) for part in parts]
        self._begins = np.cumsum([0, *sizes])[:-1]
        self._living = [  # non-empty parts with their first position
            (begin, part.entries)
            for begin, part, size in zip(self._begins.tolist(), parts, sizes, strict=True)
            if size
        ]
        self._slack = slack(parts[0].entries.vectors.shape[1])

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Search these entries; see `Index.search`.

        Queries of another dimension belong to a model that a migration has just replaced: the
        answer is empty, and the store's generation tells the caller to repeat the search.

        Raises:
            DamagedError: Candidates are damaged.
        """
        if queries.shape[1] != self.parts[0].entries.vectors.shape[1]:
            return nobody(len(queries), k)
        with np.errstate(over="ignore", invalid="ignore"):  # from damaged rows
            if among is not None:
                pairs = self._of_people(queries, k, np.unique(among), rule)
            elif self._approximate is not None:
                pairs = self._by_proposals(queries, k, rule, self._approximate)
            else:
                pairs = self._exact(queries, np.arange(len(queries)), k, rule)
        return self._judged(queries, k, rule, pairs)

    @property
    def kind(self) -> str:
        """The kind of index that proposes entries; "flat" for exact search."""
        return FLAT if self._approximate is None else self._approximate.kind

    def numbers_of(self, people: Keys) -> Keys:
        """Return the numbers of all entries of some people, int64 [N]."""
        every = [part.entries for part in self.parts]
        return np.concatenate([some.numbers[np.isin(some.owners, people)] for some in every])

    # -- the exact scores -------------------------------------------------------------------

    def _judged(
        self, queries: Vectors, k: int, rule: ScoreRule, pairs: Pairs
    ) -> tuple[Scores, Keys]:
        """Return the best people for each query by the exact scores of verified vectors.

        Raises:
            DamagedError: Some entries are damaged.
        """
        order = np.argsort(pairs.rows, kind="stable")
        rows, positions = pairs.rows[order], pairs.positions[order]
        scores, keys = nobody(len(queries), k)
        damaged = [np.empty(0, np.int64)]
        start = 0
        while start < len(rows):
            last = rows[min(start + _JUDGED, len(rows)) - 1]  # keep the pairs of a query together
            end = int(np.searchsorted(rows, last, side="right"))
            entries, at = self._taken(positions[start:end])
            whole = intact(*entries)
            if not whole.all():
                damaged.append(entries.numbers[~whole])
            elif len(damaged) == 1:
                found = scores_of(queries, rows[start:end], entries.vectors, at)
                first, here = int(rows[start]), slice(int(rows[start]), int(last) + 1)
                scores[here], keys[here] = ranked(
                    rows[start:end] - first,
                    entries.owners[at],
                    found,
                    int(last) + 1 - first,
                    k,
                    rule,
                )
            start = end
        if len(damaged) > 1:
            raise DamagedError(np.unique(np.concatenate(damaged)))
        return scores, keys

    def _taken(self, positions: Keys) -> tuple[Entries, Keys]:
        """Return a copy of the distinct entries at positions [M], and the row of each position,
        [M].
        """
        order = np.argsort(positions)
        ascending = positions[order]
        new = np.ones(len(order), bool)
        new[1:] = ascending[1:] != ascending[:-1]
        which, at = ascending[new], np.empty_like(order)
        at[order] = np.cumsum(new) - 1
        if len(self._living) == 1:
            return self._living[0][1].rows(which), at
        cuts = np.searchsorted(which, [begin for begin, _ in self._living[1:]])
        taken = [
            entries.rows(some - begin)
            for (begin, entries), some in zip(self._living, np.split(which, cuts), strict=True)
        ]
        return joined(taken), at

    # -- candidates -------------------------------------------------------------------------

    def _pieces(self) -> Iterator[Entries]:
        """Yield the entries of people, in blocks."""
        for _, entries in self._living:
            for start in range(0, len(entries.numbers), _JUDGED):
                some = entries.rows(slice(start, start + _JUDGED))
                yield some.rows(some.owners >= 0)

    @cached_property
    def _means(self) -> Entries:
        """Means of verified vectors: one damaged vector would spoil a person's mean.

        Raises:
            DamagedError: Some entries are damaged.
        """
        damaged = [some.numbers[~intact(*some)] for some in self._pieces()]
        if any(map(len, damaged)):
            raise DamagedError(np.concatenate(damaged))
        keys, means = mean_vectors(self.parts, self.parts[0].entries.vectors.shape[1])
        return Entries(keys, keys, means, np.zeros(len(keys), np.uint32))

    def _exact(self, queries: Vectors, which: Keys, k: int, rule: ScoreRule) -> Pairs:
        """Widen the search until it contains everyone who can be among the best k.

        Args:
            queries: float32 [Q, D].
            which: Rows of the queries to search for.
            k: Number of people.
            rule: The score rule.
        """
        entries = self._living if rule == "max" else [(0, self._means)]
        total = sum(len(some.numbers) for _, some in entries)
        wanted = min(k, self.people)
        rows, columns = [which[:0]], [which[:0]]
        pending = which
        depth = min(total, wanted * min(8, -(-total // max(self.people, 1))) + _MORE)
        while len(pending) and depth:
            unfinished = []
            for block in _split(pending, max(1, _CELLS // depth)):
                near, places, owners = nearest(queries[block], depth, entries)
                chosen, settled = leaders(near, owners, wanted, self._slack)
                settled |= depth >= total
                at, place = np.nonzero(chosen & settled[:, None])
                rows.append(block[at])
                columns.append(places[at, place])
                unfinished.append(block[~settled])
            pending = np.concatenate(unfinished)
            depth = min(total, depth * 8)
        pairs = Pairs(np.concatenate(rows), np.concatenate(columns))
        if rule == "max":
            return pairs
        return self._entries_of(queries, pairs.rows, self._means.owners[pairs.positions], rule)

    def _of_people(self, queries: Vectors, k: int, people: Keys, rule: ScoreRule) -> Pairs:
        """Return the pairs that can decide among some people (keys int64 [P], ascending)."""
        more = _MORE
        while True:
            looked = min(k + more, len(people))
            scores, keys = best_of(queries, looked, people, self.parts, rule)
            cut = scores[:, min(k, looked) - 1 :][:, :1] - self._slack
            close = (keys >= 0) & ~(scores < cut)
            if looked == len(people) or not close[:, -1].any():
                rows, places = np.nonzero(close)
                return self._entries_of(queries, rows, keys[rows, places], rule)
            more *= 8

    def _entries_of(self, queries: Vectors, rows: Keys, people: Keys, rule: ScoreRule) -> Pairs:
        """Return the pairs that decide the scores of queries and people, each int64 [M]."""
        asked = np.unique(people)
        found = [part.rows_of(asked) for part in self.parts]
        owners = np.concatenate(
            [part.entries.owners[some] for part, some in zip(self.parts, found, strict=True)]
        )
        positions = np.concatenate(
            [some + begin for some, begin in zip(found, self._begins.tolist(), strict=True)]
        )
        order = np.argsort(owners, kind="stable")
        owners, positions = owners[order], positions[order]
        begins = np.searchsorted(owners, people)
        counts = np.searchsorted(owners, people, side="right") - begins
        starts = np.cumsum(counts) - counts
        at = np.arange(counts.sum()) + np.repeat(begins - starts, counts)
        pairs = Pairs(np.repeat(rows, counts), positions[at])
        if rule == "mean" or not len(at):
            return pairs
        near = self._products(queries, pairs)
        best = np.maximum.reduceat(near, starts[counts > 0])
        kept = near >= np.repeat(best, counts[counts > 0]) - self._slack
        return Pairs(pairs.rows[kept], pairs.positions[kept])

    def _products(self, queries: Vectors, pairs: Pairs) -> Scores:
        """Return the float32 product of each pair; non-finite products become inf, to be
        verified.
        """
        products = np.empty(len(pairs.rows), np.float32)
        for start in range(0, len(products), _JUDGED):
            part = slice(start, start + _JUDGED)
            entries, at = self._taken(pairs.positions[part])
            products[part] = np.einsum("nd,nd->n", queries[pairs.rows[part]], entries.vectors[at])
        products[~np.isfinite(products)] = np.inf
        return products

    def _by_proposals(
        self, queries: Vectors, k: int, rule: ScoreRule, approximate: Approximate
    ) -> Pairs:
        """Score the people of the proposed entries; propose more while there are fewer than k."""
        total = sum(len(some.numbers) for _, some in self._living)
        wanted = min(k, self.people)
        found: list[Pairs] = []
        pending = np.arange(len(queries))
        each = min(8, -(-total // max(self.people, 1)))
        depth = max(_LEAST_PROPOSED, _OVERSAMPLED * wanted * each)
        while len(pending) and depth <= _MOST_PROPOSED:
            unfinished = []
            for block in _split(pending, max(1, _CELLS // depth)):
                owners = self._proposed(queries[block], depth, approximate)
                for row, of in zip(block, owners, strict=True):
                    people = np.unique(of[of >= 0])
                    if len(people) < wanted or not len(people):
                        unfinished.append(row)
                        continue
                    rows, positions = self._of_people(queries[row : row + 1], k, people, rule)
                    found.append(Pairs(rows + row, positions))
            pending = np.array(unfinished, np.int64)
            depth *= 8
        if len(pending):
            found.append(self._exact(queries, pending, k, rule))
        none = np.empty(0, np.int64)
        return Pairs(
            np.concatenate([none, *(pairs.rows for pairs in found)]),
            np.concatenate([none, *(pairs.positions for pairs in found)]),
        )

    def _proposed(self, queries: Vectors, depth: int, approximate: Approximate) -> Keys:
        """Return the owners of the entries near each query, int64 [Q, n]; -1 for none."""
        first, covered = self.parts[0].entries, approximate.covered
        rows = approximate.propose(queries, depth)
        owners = np.where(rows >= 0, first.owners[rows], -1)
        later = [first.rows(slice(covered, None)), *(part.entries for part in self.parts[1:])]
        later = [entries for entries in later if len(entries.numbers)]
        if not later:
            return owners
        near = nearest(queries, depth, [(0, entries) for entries in later])[2]
        return np.concatenate([owners, near], axis=1)


def nearest(
    queries: Vectors, depth: int, entries: list[tuple[int, Entries]]
) -> tuple[Scores, Keys, Keys]:
    """Return scores, positions and owners [Q, depth] of the nearest entries, best first.

    Args:
        queries: float32 [Q, D], unit rows.
        depth: Number of entries. Missing ones have position and owner -1.
        entries: Parts to search, with their first positions.

    Raises:
        DamagedError: Some entries have no score.
    """
    faiss = import_faiss()
    scored: list[Scores] = []
    placed: list[Keys] = []
    owned: list[Keys] = []
    for begin, some in entries:
        _, part_owners, vectors, _ = some
        near, at = faiss.knn(
            queries, vectors, min(depth, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT
        )
        there = at >= 0  # NaN vectors are in no list
        if not there.all():
            _require_scores(queries[(~there).any(axis=1)][0], some)
        scored.append(near if there.all() else np.where(there, near, -np.inf))
        placed.append(np.where(there, at + begin, -1))
        owned.append(np.where(there, part_owners[at], -1))
    if len(entries) == 1:
        return scored[0], placed[0], owned[0]
    scores, places = np.concatenate(scored, axis=1), np.concatenate(placed, axis=1)
    owners = np.concatenate(owned, axis=1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return (
        np.take_along_axis(scores, best, axis=1),
        np.take_along_axis(places, best, axis=1),
        np.take_along_axis(owners, best, axis=1),
    )


def _require_scores(query: Vectors, entries: Entries) -> None:
    """Refuse entries of people without a finite score with a query [D].

    Raises:
        DamagedError: Some have none.
    """
    without = ~np.isfinite(entries.vectors @ query) & (entries.owners >= 0)
    if without.any():
        raise DamagedError(entries.numbers[without])


def _split(positions: NDArray[np.int64], size: int) -> list[Keys]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]
