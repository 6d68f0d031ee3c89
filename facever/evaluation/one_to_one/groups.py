"""Groups at one shared threshold: FMR and FNMR within each group and across pairs of groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from facever.errors import EvaluationError
from facever.evaluation.operating_point import Interval
from facever.evaluation.scoring.pairwise import AllPairs, Bools, PairScores
from facever.evaluation.scoring.people import BlockDyads, DyadErrors, DyadSums
from facever.evaluation.scoring.similarity import Ints
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.statistics.intervals import Moving, dyadic_rate, fmr_interval, tar_interval

MOST_GROUPS = 30
FEW_ERRORS = 30


@dataclass(frozen=True)
class GroupRates:
    """The error rates of comparisons between two groups, or within one.

    Attributes:
        first, second: The groups' values; equal within a group.
        impostor, false_accepts: Impostor trials, and those above the threshold.
        genuine, false_rejects: Genuine trials, and those not above it.
        fmr_interval, fnmr_interval: None where there are no trials.
    """

    first: str
    second: str
    impostor: int
    false_accepts: int
    genuine: int
    false_rejects: int
    fmr_interval: Interval | None
    fnmr_interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Return the rates as JSON values; null where there are no trials."""
        return {
            "groups": [self.first, self.second],
            "impostor": self.impostor,
            "false_accepts": self.false_accepts,
            "fmr": self.false_accepts / self.impostor if self.impostor else None,
            "fmr_interval": self.fmr_interval and self.fmr_interval.model_dump(),
            "genuine": self.genuine,
            "false_rejects": self.false_rejects,
            "fnmr": self.false_rejects / self.genuine if self.genuine else None,
            "fnmr_interval": self.fnmr_interval and self.fnmr_interval.model_dump(),
            "few_errors": self.false_accepts < FEW_ERRORS or self.false_rejects < FEW_ERRORS,
        }


def rates_by_group(
    trials: StreamedTrials, values: "pd.Series[Any]", threshold: float, level: float = 0.95
) -> list[GroupRates]:
    """Count the errors within and across the groups of a column.

    Args:
        trials: All pairs of one set.
        values: [N], the column by row; rows without a value belong to no group.
        threshold: Shared by all groups.
        level: Confidence of the intervals, which respect identities.

    Raises:
        EvaluationError: A column without values or with too many, or a threshold below the scores
            that were kept.
    """
    pairs = trials.pairs
    codes, names = pd.factorize(values, sort=True)
    name = values.name or "the column"
    if not len(names):
        raise EvaluationError(f"column '{name}' has no value in any row: there is no group")
    if len(names) > MOST_GROUPS:
        raise EvaluationError(
            f"column '{name}' has {len(names)} values: put them into {MOST_GROUPS} groups or fewer"
        )
    if threshold < trials.complete_above:
        raise EvaluationError("the FAR is too large for groups: choose a smaller one")
    group = codes.astype(np.int64)
    above = trials.top.take(slice(trials.false_accepts(threshold)))
    errors = _Listed(trials, above, group)
    genuine = _Listed(trials, trials.genuine_scores, group)
    accepted = trials.genuine_scores.scores.astype(np.float64) > threshold
    found = []
    for first in range(len(names)):
        for second in range(first, len(names)):
            dyads = _dyads(pairs, group, first, second)
            wrong = errors.between(first, second)
            sums = DyadSums.of(
                DyadErrors.of(errors.first[wrong], errors.second[wrong], dyads.people), dyads
            )
            own = genuine.between(first, second)
            total = int(dyads.per_person.sum() / 2)
            found.append(
                GroupRates(
                    first=str(names[first]),
                    second=str(names[second]),
                    impostor=total,
                    false_accepts=int(wrong.sum()),
                    genuine=int(own.sum()),
                    false_rejects=int((own & ~accepted).sum()),
                    fmr_interval=fmr_interval(dyadic_rate(sums, dyads), level) if total else None,
                    fnmr_interval=_fnmr_interval(genuine.first[own], accepted[own], level),
                )
            )
    return found


class _Listed:
    """The people and the groups of single trials."""

    def __init__(self, trials: StreamedTrials, pairs: PairScores, group: Ints) -> None:
        self.first, self.second = trials.people_of(pairs)
        rows = trials.numbered(pairs)
        self._groups = np.sort(np.stack([group[rows.a], group[rows.b]]), axis=0)

    def between(self, first: int, second: int) -> Bools:
        """Return which trials compare the two groups, first <= second."""
        chosen: Bools = (self._groups[0] == first) & (self._groups[1] == second)
        return chosen


def _dyads(pairs: AllPairs, group: Ints, first: int, second: int) -> BlockDyads:
    side = pairs.first
    chosen = [group[side.numbers] == value for value in (first, second)]
    rows = [(side.codes[which], side.excluded[which]) for which in chosen]
    everyone = int(side.codes.max()) + 1
    others = rows[1] if first != second else ()
    return BlockDyads(*rows[0], *others, people=everyone)


def _fnmr_interval(who: Ints, accepted: Bools, level: float) -> Interval | None:
    if not len(who):
        return None
    people, at = np.unique(who, return_inverse=True)
    rejected = np.bincount(at, weights=~accepted, minlength=len(people)).astype(np.float64)
    sizes = np.bincount(at, minlength=len(people)).astype(np.float64)
    return tar_interval(Moving.fixed(rejected, sizes), level)


def table_rows(rates: list[GroupRates]) -> Iterator[list[str]]:
    """Yield the cells of a table: groups, FMR, FNMR, each with its interval."""
    for rate in rates:
        values = rate.to_dict()
        cells = [rate.first if rate.first == rate.second else f"{rate.first} x {rate.second}"]
        for name in ("fmr", "fnmr"):
            interval = getattr(rate, f"{name}_interval")
            shown = "no trials"
            if interval is not None:
                shown = f"{values[name]:.3g} ({interval.low:.3g} - {interval.high:.3g})"
            cells.append(shown)
        yield cells
