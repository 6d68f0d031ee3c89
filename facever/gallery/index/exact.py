"""Exact search: the pairs of queries and entries that can decide the best people.

If there is a screen of the first part, its approximate scores select candidates, and float32
products reduce them. Queries whose candidates are too many are compared in float32 with every
entry, as without a screen.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from facever.gallery.index.people import decisive, leaders
from facever.gallery.index.scans import Bfloat16Scan, FloatScan, Scan, ScreenedScan, nearest
from facever.gallery.index.screen import CodeScreen, Engine, engine_for
from facever.gallery.records import Entries, Keys, Scores, Vectors, joined
from facever.gallery.scores import slack

_CELLS = 1 << 22  # scores in memory at once
_PAIRS = 512  # pairs whose products are computed at once: their vectors fit into the cache
_MORE = 8  # additional entries, for scores that are nearly equal
_LISTED: dict[Engine, int] = {  # entries, at first
    "scalar quantiser": 256,
    "int8 products": 96,
    "bfloat16 products": 64,
}
_MOST_LISTED = 4096  # entries listed by a screen
_WIDER = 8  # times as many entries, if a list is too short


class Pairs(NamedTuple):
    """Pairs to score: rows of the queries and positions of entries, int64 [M]."""

    rows: Keys
    positions: Keys


class ExactSearch:
    """Exact search of entries. A position is a row of the parts, one after the other.

    Args:
        parts: First position and entries of each part; no part is empty.
        dimension: Dimension of the vectors.
        people: Upper bound of the number of people.
        screen: A screen of the first part, if any.
    """

    def __init__(
        self,
        parts: Sequence[tuple[int, Entries]],
        dimension: int,
        people: int,
        screen: CodeScreen | None = None,
    ) -> None:
        self._parts, self._people, self._screen = list(parts), people, screen
        self._begins = [begin for begin, _ in self._parts]
        self._slack = slack(dimension)

    def pairs(
        self, queries: Vectors, which: Keys, k: int, chosen: Sequence[Keys] | None = None
    ) -> Pairs:
        """Return the pairs that can decide the best k people by their best entries.

        Args:
            queries: float32 [Q, D].
            which: Rows of the queries to search for.
            k: Number of people.
            chosen: Search only these rows of each part, int64 [M], ascending; all by default.

        Raises:
            DamagedError: Some entries have no score.
        """
        rows, columns = [which[:0]], [which[:0]]
        engine = self._engine(len(which), chosen)
        if self._screen is not None and engine != "float32":
            scans = self._screened(self._screen, engine, chosen)
            found, left = self._widened(queries, which, k, scans, _LISTED[engine], _MOST_LISTED)
            found = self._reduced(queries, found, k)
            rows.append(found.rows)
            columns.append(found.positions)
            self._screen.count(len(which), len(left))
            which = left
        if len(which):
            found, _ = self._widened(queries, which, k, _scans(self._parts, chosen))
            rows.append(found.rows)
            columns.append(found.positions)
        return Pairs(np.concatenate(rows), np.concatenate(columns))

    def taken(self, positions: Keys) -> tuple[Entries, Keys]:
        """Return a copy of the distinct entries at positions [M], and the row of each position,
        [M].
        """
        order = np.argsort(positions)
        ascending = positions[order]
        new = np.ones(len(order), bool)
        new[1:] = ascending[1:] != ascending[:-1]
        which, at = ascending[new], np.empty_like(order)
        at[order] = np.cumsum(new) - 1
        if len(self._parts) == 1:
            return self._parts[0][1].rows(which), at
        cuts = np.searchsorted(which, self._begins[1:])
        taken = [
            entries.rows(some - begin)
            for (begin, entries), some in zip(self._parts, np.split(which, cuts), strict=True)
        ]
        return joined(taken), at

    def products(self, queries: Vectors, pairs: Pairs) -> tuple[Scores, Keys]:
        """Return the float32 product of each pair, and its owner; non-finite products become inf,
        to be verified.
        """
        products = np.empty(len(pairs.rows), np.float32)
        owners = np.empty(len(pairs.rows), np.int64)
        for (begin, entries), end in zip(self._parts, [*self._begins[1:], np.inf], strict=True):
            here = np.flatnonzero((pairs.positions >= begin) & (pairs.positions < end))
            for start in range(0, len(here), _PAIRS):
                some = here[start : start + _PAIRS]
                at = pairs.positions[some] - begin
                one, other = queries[pairs.rows[some]], entries.vectors[at]
                products[some] = np.einsum("nd,nd->n", one, other)
                owners[some] = entries.owners[at]
        products[~np.isfinite(products)] = np.inf
        return products, owners

    def _engine(self, queries: int, chosen: Sequence[Keys] | None) -> Engine:
        """Return how so many queries are compared with the entries of the screen."""
        first = self._parts[0][1].vectors if self._parts else np.empty((0, 1))
        count = len(first) if chosen is None else len(chosen[0])
        if self._screen is None or not count:
            return "float32"
        return engine_for(queries, count, first.shape[1])

    def _screened(
        self, screen: CodeScreen, engine: Engine, chosen: Sequence[Keys] | None
    ) -> list[Scan]:
        """Return the scans that screen, of all entries or those chosen."""
        if engine == "bfloat16 products":
            return self._rounded if chosen is None else _scans(self._parts, chosen, Bfloat16Scan)
        later = self._parts[1:]
        if chosen is None:
            fitting = ScreenedScan(screen, self._fitting, engine)
            return [fitting, *self._outside, *_scans(later, None)]
        rows = chosen[0]
        fitting = ScreenedScan(screen, self._fitting, engine, rows)
        outside = np.intersect1d(screen.codes.outside, rows, assume_unique=True)
        return [fitting, *_scans(self._parts[:1], [outside]), *_scans(later, chosen[1:])]

    @cached_property
    def _rounded(self) -> list[Scan]:
        """The scans by bfloat16 products. They know what is lost by rounding."""
        return _scans(self._parts, None, Bfloat16Scan)

    @cached_property
    def _outside(self) -> list[Scan]:
        """The scan of the entries outside the scale of the codes, at most 1 %: a copy of them."""
        return [] if self._screen is None else _scans(self._parts[:1], [self._screen.codes.outside])

    @cached_property
    def _fitting(self) -> Keys:
        """Owners of the first part; -1 for entries outside the scale of the codes."""
        owners = self._parts[0][1].owners.copy()
        if self._screen is not None:
            owners[self._screen.codes.outside] = -1
        return owners

    def _widened(
        self,
        queries: Vectors,
        which: Keys,
        k: int,
        scans: Sequence[Scan],
        least: int = 1,
        most: int | None = None,
    ) -> tuple[Pairs, Keys]:
        """Widen the lists until they contain every entry that can decide.

        Args:
            queries: float32 [Q, D].
            which: Rows of the queries to search for.
            k: Number of people.
            scans: The entries.
            least, most: Smallest and largest number of listed entries; by default up to all.

        Returns:
            The pairs, and the rows of queries whose lists of `most` entries are too short.
        """
        total = sum(map(len, scans))
        rows, columns = [which[:0]], [which[:0]]
        depth = k * min(8, -(-total // max(self._people, 1))) + _MORE
        depth = min(total, max(depth, least))
        while len(which) and depth and (most is None or depth <= most):
            unfinished = []
            for block in split(which, max(1, _CELLS // depth)):
                near = nearest(queries[block], depth, scans)
                chosen, settled = leaders(near.scores, near.owners, k, 2 * near.errors)
                settled |= depth >= total
                at, place = np.nonzero(chosen & settled[:, None])
                rows.append(block[at])
                columns.append(near.positions[at, place])
                unfinished.append(block[~settled])
            which = np.concatenate(unfinished)
            depth = min(total, depth * _WIDER)
        return Pairs(np.concatenate(rows), np.concatenate(columns)), which

    def _reduced(self, queries: Vectors, pairs: Pairs, k: int) -> Pairs:
        """Return those of the candidates that can decide by their float32 products."""
        scores, owners = self.products(queries, pairs)
        kept = decisive(pairs.rows, owners, scores, k, self._slack)
        return Pairs(pairs.rows[kept], pairs.positions[kept])


def _scans(
    parts: Sequence[tuple[int, Entries]],
    chosen: Sequence[Keys] | None,
    kind: type[FloatScan] | type[Bfloat16Scan] = FloatScan,
) -> list[Scan]:
    """Return the scans of parts, or of some rows of each."""
    if chosen is None:
        return [kind(entries, begin) for begin, entries in parts]
    return [
        kind(entries.rows(rows), begin + rows)
        for (begin, entries), rows in zip(parts, chosen, strict=True)
        if len(rows)
    ]


def split(positions: Keys, size: int) -> list[Keys]:
    """Return positions [N] in blocks."""
    return [positions[start : start + size] for start in range(0, len(positions), size)]
