"""FMR and FNMR within each group and across pairs of groups, at one threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column
from facever.evaluation.scoring.dyads import BlockDyads, DyadErrors, DyadSums
from facever.evaluation.scoring.pairwise import PairScores
from facever.evaluation.scoring.similarity import Doubles, Ints
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.statistics.intervals import (
    FEW_ERRORS,
    Moving,
    dyadic_rate,
    fmr_interval,
    tar_interval,
)
from facever.operating_point import Interval
from facever.render.values import Record

MOST_GROUPS = 30


@dataclass(frozen=True)
class GroupRates(Record):
    """The error rates of comparisons between two groups, or within one group.

    Attributes:
        first, second: The groups' values; equal within a group.
        impostor, false_accepts: Impostor trials, and those above the threshold.
        genuine, false_rejects: Genuine trials, and those not above it.
        fmr_interval, fnmr_interval: None without trials.
    """

    first: str
    second: str
    impostor: int
    false_accepts: int
    genuine: int
    false_rejects: int
    fmr_interval: Interval | None
    fnmr_interval: Interval | None

    json_keys = (
        "groups impostor false_accepts fmr fmr_interval genuine false_rejects fnmr fnmr_interval "
        "few_false_accepts few_false_rejects"
    )

    @property
    def groups(self) -> list[str]:
        """The values of both groups."""
        return [self.first, self.second]

    @property
    def name(self) -> str:
        """The value of the group, or of both groups."""
        return self.first if self.first == self.second else f"{self.first} x {self.second}"

    @property
    def fmr(self) -> float | None:
        """False accepts over impostor trials; None without trials."""
        return self.false_accepts / self.impostor if self.impostor else None

    @property
    def fnmr(self) -> float | None:
        """False rejects over genuine trials; None without trials."""
        return self.false_rejects / self.genuine if self.genuine else None

    @property
    def few_false_accepts(self) -> bool:
        """Whether there are too few false accepts for a reliable rate."""
        return self.false_accepts < FEW_ERRORS

    @property
    def few_false_rejects(self) -> bool:
        """Whether there are too few false rejects for a reliable rate."""
        return self.false_rejects < FEW_ERRORS


def rates_by_group(
    trials: StreamedTrials,
    columns: Sequence["pd.Series[Any]"],
    threshold: float,
    level: float = 0.95,
) -> list[GroupRates]:
    """Count the errors within and across the groups of a column.

    Args:
        trials: All pairs of one set, or of two.
        columns: The values by row, for each set; rows without a value belong to no group. In one
            set, pairs of groups are unordered; with two sets, the first group is of the first
            set.
        threshold: Threshold of all groups.
        level: Confidence level of the intervals, which are clustered by identity.

    Raises:
        EvaluationError: A column has no values or too many, or the threshold is below the kept
            scores.
    """
    text = [comparable_column(column) for column in columns]
    codes, names = pd.factorize(pd.concat(text, ignore_index=True), sort=True)
    name, count = columns[0].name or "the column", len(names)
    if not count:
        raise EvaluationError(f"column '{name}' has no value in any row")
    if count > MOST_GROUPS:
        raise EvaluationError(
            f"column '{name}' has {count} values: use a column with at most {MOST_GROUPS}"
        )
    if threshold < trials.complete_above:
        raise EvaluationError("the FAR is too large for groups: choose a smaller one")
    sides = np.split(codes.astype(np.int64), [len(columns[0])])[: len(columns)]
    cells = _Cells(trials, sides[0], sides[-1], count)
    above = trials.top.take(slice(trials.false_accepts(threshold)))
    errors, of_errors = trials.people_of(above), cells.of(above)
    genuine = _Genuine.of(trials, cells, threshold)
    found = []
    for first in range(count):
        for second in range(first if trials.pairs.one_set else 0, count):
            cell = first * count + second
            dyads = cells.dyads(first, second)
            wrong = of_errors == cell
            sums = DyadSums.of(
                DyadErrors.of(errors[0][wrong], errors[1][wrong], dyads.people), dyads
            )
            own = genuine.within(cell)
            total = int(dyads.per_person.sum() / 2)
            found.append(
                GroupRates(
                    first=str(names[first]),
                    second=str(names[second]),
                    impostor=total,
                    false_accepts=int(wrong.sum()),
                    genuine=int(own.trials.sum()),
                    false_rejects=int(own.rejected.sum()),
                    fmr_interval=fmr_interval(dyadic_rate(sums, dyads), level) if total else None,
                    fnmr_interval=own.interval(level),
                )
            )
    return found


@dataclass(frozen=True)
class _Cells:
    """Indices of pairs of groups: first group · groups + second group, or -1.

    Attributes:
        trials: The trials.
        left, right: int64 [N], [M], the group of each row of either side; -1 for none.
        count: Number of groups.
    """

    trials: StreamedTrials
    left: Ints
    right: Ints
    count: int

    def of(self, pairs: PairScores) -> Ints:
        """Return the cell of each trial, int64 [K]."""
        rows = self.trials.numbered(pairs)
        groups = np.stack([self.left[rows.a], self.right[rows.b]])
        if self.trials.pairs.one_set:
            groups.sort(axis=0)
        return np.where(groups.min(axis=0) < 0, -1, groups[0] * self.count + groups[1])

    def dyads(self, first: int, second: int) -> BlockDyads:
        """Return the impostor trials between two groups, by people."""
        pairs = self.trials.pairs
        sides = ((pairs.first, self.left, first), (pairs.second, self.right, second))
        rows = []
        for side, groups, group in sides:
            chosen = groups[side.numbers] == group
            rows.append((side.codes[chosen], side.excluded[chosen]))
        alone = pairs.one_set and first == second
        return BlockDyads(*rows[0], *(() if alone else rows[1]), people=self.trials.people)


@dataclass(frozen=True)
class _Genuine:
    """Genuine trials, counted by cell and person.

    Attributes:
        cells: int64 [K], ascending.
        trials, rejected: float64 [K], counts of one person in that cell.
    """

    cells: Ints
    trials: Doubles
    rejected: Doubles

    @classmethod
    def of(cls, trials: StreamedTrials, cells: _Cells, threshold: float) -> "_Genuine":
        people = trials.people
        parts = []
        for part in trials.genuine_parts():
            cell = cells.of(part)
            keys = np.where(cell < 0, -1, cell * people + trials.people_of(part)[0])
            found, at = np.unique(keys, return_inverse=True)
            refused = part.scores.astype(np.float64) <= threshold
            counts = [np.bincount(at, w, len(found)) for w in (None, refused)]
            parts.append((found, *counts))
        keys, trials_, rejected = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        found, at = np.unique(keys, return_inverse=True)
        sums = (np.bincount(at, w, len(found)).astype(np.float64) for w in (trials_, rejected))
        return cls(found // people, *sums)

    def within(self, cell: int) -> "_Genuine":
        """Return the counts of one cell."""
        part = slice(*np.searchsorted(self.cells, [cell, cell + 1]))
        return _Genuine(self.cells[part], self.trials[part], self.rejected[part])

    def interval(self, level: float) -> Interval | None:
        """Return the interval of the rejected share; None without trials."""
        if not len(self.trials):
            return None
        return tar_interval(Moving.fixed(self.rejected, self.trials), level)
