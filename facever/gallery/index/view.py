"""The view of a search: the entries at one change of the store.

A search has two steps. Exact search (`exact.py`), or an approximate index, proposes the few entries
that can be among the best. Then their vectors are verified by checksums, and exact scores decide.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from facever.gallery.checksums import intact
from facever.gallery.index.approximate import Approximate
from facever.gallery.index.codes import Codes
from facever.gallery.index.exact import ExactSearch, Pairs, split
from facever.gallery.index.kinds import FLAT
from facever.gallery.index.people import Part, best_of, mean_vectors, nobody, ranked
from facever.gallery.index.scans import DamagedError, FloatScan, nearest
from facever.gallery.index.screen import CodeScreen
from facever.gallery.records import Entries, Keys, Scores, Vectors
from facever.gallery.scores import scores_of, slack
from facever.operating_point import ScoreRule

_CELLS = 1 << 22  # scores in memory at once
_JUDGED = 1 << 15  # pairs with vectors in memory at once
_LEAST_PROPOSED, _MOST_PROPOSED = 64, 4096  # entries proposed for exact scores
_OVERSAMPLED = 4  # times the entries that exact search proposes first
_MORE = 8  # additional people, for scores that are nearly equal
_MANY_FILTERED = 4096  # entries: fewer that match a filter are copied and compared in float32


class View:
    """The entries at one change of the store; they do not change during a search.

    A position is a row of the parts, one after the other.

    Args:
        parts: The parts of the snapshot, of the tail, and others.
        people: Upper bound of the number of people.
        approximate: An index that proposes rows of the first part; None for exact search.
        screen: A screen of the first part, for exact search.
        within: All people with entries, int64 [P], ascending, if they are few of the gallery's.

    Attributes:
        within: As given.
    """

    def __init__(
        self,
        parts: list[Part],
        people: int,
        approximate: Approximate | None = None,
        screen: CodeScreen | None = None,
        within: Keys | None = None,
    ) -> None:
        self.parts, self.people, self._approximate = parts, people, approximate
        self._screen, self.within = screen, within
        self._width = parts[0].entries.vectors.shape[1]
        sizes = [len(part.entries.numbers) for part in parts]
        self._begins = np.cumsum([0, *sizes])[:-1]
        self._living = [  # non-empty parts with their first position
            (begin, part.entries)
            for begin, part, size in zip(self._begins.tolist(), parts, sizes, strict=True)
            if size
        ]
        self._slack = slack(self._width)

    def only(self, numbers: Keys) -> "View":
        """Return the view without all other entries than those of these numbers.

        Args:
            numbers: int64 [N], ascending.
        """
        parts = [part.only(numbers) for part in self.parts]
        people = np.unique(np.concatenate([part.entries.owners for part in parts]))
        return View(parts, self.people, screen=self._screen, within=people[people >= 0])

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Search these entries; see `Index.search`.

        Queries of another dimension belong to a model that a migration has just replaced: the
        answer is empty, and the store's generation tells the caller to repeat the search.

        Raises:
            DamagedError: Candidates are damaged.
        """
        if queries.shape[1] != self._width:
            return nobody(len(queries), k)
        people = self.within if among is None else np.unique(among)
        if among is not None and self.within is not None:
            people = np.intersect1d(among, self.within)
        with np.errstate(over="ignore", invalid="ignore"):  # from damaged rows
            if people is not None:
                pairs = self._filtered(queries, k, rule, people)
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
            entries, at = self._by_entries.taken(positions[start:end])
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
        keys, means = mean_vectors(self.parts, self._width)
        return Entries(keys, keys, means, np.zeros(len(keys), np.uint32))

    @cached_property
    def _by_entries(self) -> ExactSearch:
        return ExactSearch(self._living, self._width, self.people, self._screen)

    @cached_property
    def _by_means(self) -> ExactSearch:
        """Exact search of the means, with a screen of them if the entries have one."""
        codes = Codes.of(self._means.vectors) if self._screen is not None else None
        screen = None if codes is None else CodeScreen(codes)
        return ExactSearch([(0, self._means)], self._width, self.people, screen)

    def _exact(
        self, queries: Vectors, which: Keys, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> Pairs:
        """Return the pairs that can decide among all people, or some, by exact search.

        Args:
            queries: float32 [Q, D].
            which: Rows of the queries to search for.
            k: Number of people.
            rule: The score rule.
            among: Only these people, int64 [P], ascending.
        """
        wanted = min(k, self.people if among is None else len(among))
        if rule == "max":
            chosen = None if among is None else self._rows_of(among)
            return self._by_entries.pairs(queries, which, wanted, chosen)
        chosen = None
        if among is not None:
            chosen = [np.flatnonzero(np.isin(self._means.owners, among))]
        pairs = self._by_means.pairs(queries, which, wanted, chosen)
        return self._entries_of(queries, pairs.rows, self._means.owners[pairs.positions], rule)

    def _rows_of(self, people: Keys) -> list[Keys]:
        """Return the rows of some people in each part that is not empty, ascending."""
        return [np.sort(part.rows_of(people)) for part in self.parts if len(part.entries.numbers)]

    def _filtered(self, queries: Vectors, k: int, rule: ScoreRule, people: Keys) -> Pairs:
        """Return the pairs that can decide among some people (keys int64 [P], ascending)."""
        entries = sum(int(part.sizes_of(people).sum()) for part in self.parts)
        other_means = rule == "mean" and self.within is not None  # than of all entries
        if self._screen is None or entries < _MANY_FILTERED or other_means:
            return self._of_people(queries, k, people, rule)
        return self._exact(queries, np.arange(len(queries)), k, rule, people)

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
        near, _ = self._by_entries.products(queries, pairs)
        best = np.maximum.reduceat(near, starts[counts > 0])
        kept = near >= np.repeat(best, counts[counts > 0]) - self._slack
        return Pairs(pairs.rows[kept], pairs.positions[kept])

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
            for block in split(pending, max(1, _CELLS // depth)):
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
        near = nearest(queries, depth, [FloatScan(entries, 0) for entries in later])
        return np.concatenate([owners, near.owners], axis=1)
