"""Scans of entries: the nearest ones of each query, by float32 products or by a screen."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from facever.gallery.index.bfloat16_products import Rounding, bound, highest_products
from facever.gallery.index.faiss_import import import_faiss, products_by_blas
from facever.gallery.index.screen import CodeScreen, Engine
from facever.gallery.records import Entries, Keys, Scores, Vectors
from facever.gallery.scores import slack


class DamagedError(Exception):
    """Entries read by a search are damaged.

    Args:
        numbers: Numbers of the entries, int64 [N].
    """

    def __init__(self, numbers: Keys) -> None:
        super().__init__(f"{len(numbers)} damaged entries")
        self.numbers = numbers


class NearEntries(NamedTuple):
    """The nearest entries of each query, best first.

    Args:
        scores: float32 [Q, n]; -inf for missing ones.
        positions: int64 [Q, n]; -1 for missing ones.
        owners: int64 [Q, n]; -1 for missing and removed ones.
        errors: Bound on the errors of the scores of each query, float64 [Q].
    """

    scores: Scores
    positions: Keys
    owners: Keys
    errors: NDArray[np.float64]


class Scan(Protocol):
    """Entries that are scanned together."""

    def __len__(self) -> int:
        """Return the number of entries, including removed ones."""
        ...

    def nearest(self, queries: Vectors, depth: int) -> NearEntries:
        """Return the nearest entries of each query, at most `depth`.

        Raises:
            DamagedError: Some entries have no score.
        """
        ...


class FloatScan:
    """Entries compared in float32.

    Args:
        entries: The entries, at least one.
        positions: Position of the first one, or of each, int64 [N].
    """

    def __init__(self, entries: Entries, positions: int | Keys) -> None:
        self._entries, self._positions = entries, positions
        self._error = slack(entries.vectors.shape[1]) / 2

    def __len__(self) -> int:
        return len(self._entries.numbers)

    def nearest(self, queries: Vectors, depth: int) -> NearEntries:
        """See `Scan`."""
        faiss, (_, owners, vectors, _) = import_faiss(), self._entries
        with products_by_blas(faiss, len(queries)):
            scores, at = faiss.knn(
                queries, vectors, min(depth, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT
            )
        there = at >= 0  # NaN vectors are in no list
        positions, owners = _placed(self._positions, at), owners[at]
        if not there.all():
            _require_scores(queries[(~there).any(axis=1)][0], self._entries)
            scores = np.where(there, scores, -np.inf)
            positions, owners = np.where(there, positions, -1), np.where(there, owners, -1)
        return NearEntries(scores, positions, owners, np.full(len(queries), self._error))


class Bfloat16Scan:
    """Entries compared by bfloat16 products.

    Args:
        entries: The entries, at least one.
        positions: Position of the first one, or of each, int64 [N].
    """

    def __init__(self, entries: Entries, positions: int | Keys) -> None:
        self._entries, self._positions = entries, positions

    def __len__(self) -> int:
        return len(self._entries.numbers)

    def nearest(self, queries: Vectors, depth: int) -> NearEntries:
        """See `Scan`."""
        _, owners, vectors, _ = self._entries
        lost, damaged = self._rounding
        scores, at = highest_products(vectors, queries, min(depth, len(vectors)), damaged)
        error = bound(queries, lost, scores) + slack(queries.shape[1]) / 2
        return NearEntries(scores, _placed(self._positions, at), owners[at], error)

    @cached_property
    def _rounding(self) -> Rounding:
        return Rounding.of(self._entries.vectors)


class ScreenedScan:
    """Entries compared by their codes.

    Args:
        screen: The screen of all entries, whose positions are its rows.
        owners: Owners of all entries, int64 [N]; -1 for removed ones and those outside the scale.
        engine: How to compare.
        rows: Only these entries, int64 [M], ascending; all by default.
    """

    def __init__(
        self, screen: CodeScreen, owners: Keys, engine: Engine, rows: Keys | None = None
    ) -> None:
        self._screen, self._owners, self._engine, self._rows = screen, owners, engine, rows

    def __len__(self) -> int:
        return len(self._owners if self._rows is None else self._rows)

    def nearest(self, queries: Vectors, depth: int) -> NearEntries:
        """See `Scan`."""
        near = self._screen.nearest(queries, min(depth, len(self)), self._engine, self._rows)
        owners = np.where(near.rows >= 0, self._owners[near.rows], -1)
        rounding = slack(queries.shape[1]) / 2  # of products, as scores of unit rows
        return NearEntries(near.scores, near.rows, owners, near.errors + rounding)


def _placed(positions: int | Keys, rows: Keys) -> Keys:
    """Return the positions of rows [Q, n], given that of the first row, or of each, [N]."""
    return rows + positions if isinstance(positions, int) else positions[rows]


def nearest(queries: Vectors, depth: int, scans: Sequence[Scan]) -> NearEntries:
    """Return the nearest entries of all scans, at most `depth`.

    Raises:
        DamagedError: Some entries have no score.
    """
    each = [scan.nearest(queries, depth) for scan in scans]
    if len(each) == 1:
        return each[0]
    scores, positions, owners = (
        np.concatenate([one[column] for one in each], axis=1) for column in range(3)
    )
    best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    scores, positions, owners = (
        np.take_along_axis(column, best, axis=1) for column in (scores, positions, owners)
    )
    return NearEntries(scores, positions, owners, np.max([one.errors for one in each], axis=0))


def _require_scores(query: Vectors, entries: Entries) -> None:
    """Refuse entries of people without a finite score with a query [D].

    Raises:
        DamagedError: Some have none.
    """
    without = ~np.isfinite(entries.vectors @ query) & (entries.owners >= 0)
    if without.any():
        raise DamagedError(entries.numbers[without])
