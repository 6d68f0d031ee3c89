"""All pairs of one or two sets of rows, processed in blocks and never all in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import or_
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.evaluation.scoring.dyads import BlockDyads, Dyads
from facever.evaluation.scoring.similarity import Floats, Ints, Numbers, PairScorer

Bools = npt.NDArray[np.bool_]
_ROWS, _COLUMNS = 1024, 2048
_TILE = 1 << 22  # scores of genuine pairs computed at a time
_GATHERED = 1 << 19  # values gathered for them at a time; fits the cache


@dataclass(frozen=True)
class Side:
    """The rows of one side of the comparison, in the order of their identities.

    Attributes:
        numbers: int64 [N], row numbers of the user.
        codes: int64 [N], ascending identity codes, shared by both sides.
        excluded: int64 [N, C], codes of the columns whose equality excludes a pair.
        places: int64 [N], 0 to N - 1.
    """

    numbers: Ints
    codes: Ints
    excluded: Ints
    places: Ints

    def moved(self, move: Callable[[Ints], Any]) -> "Side":
        """Return the side with each array converted, for example to another device."""
        return Side(*(move(a) for a in (self.numbers, self.codes, self.excluded, self.places)))


@dataclass(frozen=True)
class PairScores:
    """Scores of single trials and their rows (-1 without rows)."""

    scores: Floats
    a: Numbers
    b: Numbers

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: npt.NDArray[np.integer] | slice) -> "PairScores":
        """Return the trials at `index`."""
        return PairScores(self.scores[index], self.a[index], self.b[index])

    @staticmethod
    def join(parts: Sequence["PairScores"]) -> "PairScores":
        """Return the concatenated trials of several parts."""
        if not parts:
            return PairScores(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
        return PairScores(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.a for part in parts]),
            np.concatenate([part.b for part in parts]),
        )


class AllPairs:
    """Every pair of rows of one set (i < j), or every row of one set with every row of another.

    Args:
        scorer: The score of two rows.
        codes: int64 [N], the identity of each row of the first set.
        other_codes: int64 [M], of the second set; None compares the first set with itself.
        excluded: int64 [N, C]; pairs with equal values in any of these columns are not trials.
        other_excluded: int64 [M, C], of the second set.
        numbers: int64 [N], row numbers of the user; by default 0 to N - 1.
        other_numbers: int64 [M], of the second set.
    """

    def __init__(
        self,
        scorer: PairScorer,
        codes: Ints,
        other_codes: Ints | None = None,
        *,
        excluded: Ints | None = None,
        other_excluded: Ints | None = None,
        numbers: Ints | None = None,
        other_numbers: Ints | None = None,
    ) -> None:
        self.one_set = other_codes is None
        order, self.first = _sorted_side(codes, excluded, numbers)
        other_order, self.second = order, self.first
        if other_codes is not None:
            other_order, self.second = _sorted_side(other_codes, other_excluded, other_numbers)
        in_order = all(np.array_equal(o, np.arange(len(o))) for o in (order, other_order))
        self.scorer: PairScorer = scorer if in_order else scorer.take(order, other_order)
        other = (None, None) if self.one_set else (self.second.codes, self.second.excluded)
        self.genuine, self.impostor = count_trials(self.first.codes, self.first.excluded, *other)

    def blocks(self, shape: tuple[int, int] | None = None) -> Iterator[tuple[slice, slice]]:
        """Yield the blocks of rows and columns with trials, of at most this shape."""
        high, wide = shape or (_ROWS, _COLUMNS)
        for start in range(0, len(self.first.codes), high):
            rows = slice(start, min(start + high, len(self.first.codes)))
            for left in range(start if self.one_set else 0, len(self.second.codes), wide):
                yield rows, slice(left, min(left + wide, len(self.second.codes)))

    def no_impostor(
        self, rows: slice, columns: slice, sides: tuple[Side, Side] | None = None
    ) -> Any:
        """Return a mask of the pairs of a block that are not impostor trials; None if all are.

        Args:
            rows, columns: The block.
            sides: Both sides with tensors on a device; the mask is then a tensor too.
        """
        first, second = self.first.codes[rows], self.second.codes[columns]
        left, right = sides or (self.first, self.second)
        masks = []
        if first[-1] >= second[0] and second[-1] >= first[0]:
            masks.append(left.codes[rows, None] == right.codes[None, columns])
        if self.one_set and columns.start < rows.stop:
            masks.append(left.places[rows, None] >= right.places[None, columns])
        for column in range(self.first.excluded.shape[1]):
            masks.append(left.excluded[rows, None, column] == right.excluded[None, columns, column])
        return reduce(or_, masks) if masks else None

    def dyads(self) -> Dyads | None:
        """Return the impostor trials by pairs of people; None if the people are unknown."""
        other = () if self.one_set else (self.second.codes, self.second.excluded)
        return BlockDyads(self.first.codes, self.first.excluded, *other)

    def genuine_scores(self) -> Iterator[PairScores]:
        """Yield the genuine trials, by batches of people with equally many rows.

        Row numbers are in the order of identities; see `in_user_order`.
        """
        for starts, count, other_starts, other_count in self._people():
            step = max(1, _TILE // other_count)
            for top in range(0, count, step):
                size = min(step, count - top)
                gathered = (size + other_count) * self.scorer.width
                batch = max(1, min(_TILE // (size * other_count), _GATHERED // gathered))
                for begin in range(0, len(starts), batch):
                    part = slice(begin, begin + batch)
                    rows = starts[part, None] + np.arange(top, top + size)
                    columns = other_starts[part, None] + np.arange(other_count)
                    yield self._tile(rows, columns)

    def impostor_scores(self) -> Iterator[PairScores]:
        """Yield every impostor trial, by blocks."""
        for rows, columns in self.blocks():
            masked = self.no_impostor(rows, columns)
            sides = (np.arange(part.start, part.stop)[None] for part in (rows, columns))
            scores = self.scorer.tiles(*sides)[0]
            i, j = np.nonzero(np.ones(scores.shape, bool) if masked is None else ~masked)
            yield PairScores(scores[i, j], i + rows.start, j + columns.start)

    def in_user_order(self, pairs: PairScores) -> PairScores:
        """Return the trials with the row numbers of the user."""
        return PairScores(pairs.scores, self.first.numbers[pairs.a], self.second.numbers[pairs.b])

    def _tile(self, rows: Ints, columns: Ints) -> PairScores:
        """Score the rows [K, n] of K people with their columns [K, m]."""
        scores = self.scorer.tiles(rows, columns)
        i = np.broadcast_to(rows[:, :, None], scores.shape)
        j = np.broadcast_to(columns[:, None, :], scores.shape)
        keep = i < j if self.one_set else np.ones(scores.shape, bool)
        for column in range(self.first.excluded.shape[1]):
            keep &= self.first.excluded[i, column] != self.second.excluded[j, column]
        return PairScores(scores[keep], i[keep], j[keep])

    def _people(self) -> Iterator[tuple[Ints, int, Ints, int]]:
        """Yield people with equal numbers of rows on each side: first rows and numbers of rows."""
        codes, starts, counts = np.unique(self.first.codes, return_index=True, return_counts=True)
        other_starts, other_counts = starts, counts
        if not self.one_set:
            others, at, many = np.unique(self.second.codes, return_index=True, return_counts=True)
            _, mine, theirs = np.intersect1d(codes, others, return_indices=True)
            starts, counts = starts[mine], counts[mine]
            other_starts, other_counts = at[theirs], many[theirs]
        elif len(counts):
            starts = other_starts = starts[counts > 1]
            counts = other_counts = counts[counts > 1]
        for size in np.unique(np.column_stack([counts, other_counts]), axis=0):
            here = (counts == size[0]) & (other_counts == size[1])
            yield starts[here], int(size[0]), other_starts[here], int(size[1])


def count_trials(
    codes: Ints,
    excluded: Ints,
    other_codes: Ints | None = None,
    other_excluded: Ints | None = None,
) -> tuple[int, int]:
    """Count the genuine and impostor trials of `AllPairs` from group sizes.

    It uses inclusion and exclusion over the sets of excluding columns.
    """

    def count(*, same: bool) -> int:
        total = 0
        for size in range(excluded.shape[1] + 1):
            for chosen in combinations(range(excluded.shape[1]), size):
                keys = excluded[:, chosen]
                keys = np.column_stack([codes, keys]) if same else keys
                others = None
                if other_codes is not None and other_excluded is not None:
                    others = other_excluded[:, chosen]
                    others = np.column_stack([other_codes, others]) if same else others
                total += (-1) ** size * _agreeing(keys, others)
        return total

    genuine = count(same=True)
    return genuine, count(same=False) - genuine


def exclusion_codes(columns: Sequence[pd.Series], size: int) -> Ints:
    """Return codes [N, C] of columns [N] whose equality excludes a pair.

    A missing value equals nothing.
    """
    codes = [np.empty((size, 0), np.int64)]
    for column in columns:
        code = pd.factorize(column)[0].astype(np.int64)
        missing = code < 0
        code[missing] = -1 - np.arange(missing.sum())
        codes.append(code[:, None])
    return np.hstack(codes)


def _sorted_side(codes: Ints, excluded: Ints | None, numbers: Ints | None) -> tuple[Ints, Side]:
    order = np.argsort(codes, kind="stable")
    columns = np.empty((len(codes), 0), np.int64) if excluded is None else excluded
    names = order if numbers is None else numbers[order]
    return order, Side(names, codes[order], columns[order], np.arange(len(codes)))


def _agreeing(first: Ints, second: Ints | None) -> int:
    """Count the pairs of rows that are equal in every column."""
    if first.shape[1] == 0:
        n = len(first)
        return n * (n - 1) // 2 if second is None else n * len(second)
    if second is None:
        sizes = np.unique(first, axis=0, return_counts=True)[1]
        return int((sizes * (sizes - 1) // 2).sum())
    both, codes = np.unique(np.concatenate([first, second]), axis=0, return_inverse=True)
    left = np.bincount(codes.ravel()[: len(first)], minlength=len(both))
    right = np.bincount(codes.ravel()[len(first) :], minlength=len(both))
    return int((left * right).sum())
