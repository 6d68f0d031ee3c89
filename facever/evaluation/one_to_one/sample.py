"""Rows that are to be compared, checked, and the trials that they make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.console import warn
from facever.errors import EvaluationError
from facever.evaluation.columns import Names, people_column, required, text_column
from facever.evaluation.one_to_one.result import Failures
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.pairwise import AllPairs, Bools, count_trials, exclusion_codes
from facever.evaluation.scoring.similarity import Floats, Ints, make_scorer


@dataclass(frozen=True)
class Sample:
    """Checked rows that are to be compared.

    Attributes:
        vectors: float32 [N, D].
        people: str [N].
        norms: float32 [N], lengths before normalising, or None.
        acquired: Bool [N], False where there is no vector.
        exclude: Columns [N] of text by name; a pair that agrees in any of them is no trial.
    """

    vectors: Floats
    people: Names
    norms: Floats | None
    acquired: Bools
    exclude: dict[str, "pd.Series[Any]"]

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        identities: ArrayLike,
        norms: ArrayLike | None = None,
        acquired: ArrayLike | None = None,
        exclude: Mapping[str, ArrayLike] | None = None,
    ) -> Self:
        """Check arrays and return them as a sample.

        Raises:
            EvaluationError: Not a matrix, lengths that differ, a missing identity, or NaN.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or not rows.shape[1]:
            raise EvaluationError(f"vectors must be a matrix [N, D], not of shape {rows.shape}")
        people = required(people_column(identities), len(rows), "identities")
        columns = {name: text_column(column) for name, column in (exclude or {}).items()}
        held = np.ones(len(rows), bool) if acquired is None else np.asarray(acquired, bool)
        lengths = None if norms is None else np.asarray(norms, np.float32)
        given = {"acquired": held, "norms": lengths, **columns}
        for name, column in given.items():
            if column is not None:
                check_length(len(column), name, len(rows))
        finite = np.isfinite(rows.sum(axis=1)) | ~held
        if not finite.all():
            raise EvaluationError(
                f"vector {int(np.argmin(finite))} holds NaN or infinity "
                f"({int((~finite).sum())} such vectors): mark failed images by acquired=False"
            )
        return cls(rows, people, lengths, held, columns)

    def rows(self, which: Bools) -> Self:
        """Return the rows of a mask [N]."""
        norms = None if self.norms is None else self.norms[which]
        exclude = {
            name: column[which].reset_index(drop=True) for name, column in self.exclude.items()
        }
        parts = self.vectors[which], self.people[which], norms, self.acquired[which]
        return type(self)(*parts, exclude)

    def all_pairs(
        self, similarity: str, cohort: Cohort | None = None, against: "Sample | None" = None
    ) -> tuple[AllPairs, Failures]:
        """Return every pair of acquired rows, and what failures to acquire cost.

        Args:
            similarity: "cosine", "euclidean" or "dot".
            cohort: Other people, to normalise the scores by; of one set only.
            against: A second set; each row is then compared with each of its rows, not with those
                of the own set.

        Raises:
            EvaluationError: A cohort that shares people with the rows or comes with a second set,
                or columns to exclude by that only one of the sets has or that remove every trial
                of a class.
        """
        sides = [self] if against is None else [self, against]
        where = [np.flatnonzero(side.acquired) for side in sides]
        held = [
            (_taken(side.vectors, rows), None if side.norms is None else _taken(side.norms, rows))
            for side, rows in zip(sides, where, strict=True)
        ]
        scorer = make_scorer(held[0][0], similarity, held[0][1], *(held[1] if against else ()))
        if cohort is not None:
            if against is not None:
                raise EvaluationError("a cohort normalises the scores of one set, not of two")
            cohort.check(self.people)
            scorer = cohort.normalise(scorer, held[0][0], similarity, held[0][1])
        codes, excluded = self._codes(against)
        kept = [code[rows] for code, rows in zip(codes, where, strict=True)]
        left_out = [code[rows] for code, rows in zip(excluded, where, strict=True)]
        second = against is not None
        pairs = AllPairs(
            scorer,
            kept[0],
            kept[1] if second else None,
            excluded=left_out[0],
            other_excluded=left_out[1] if second else None,
            numbers=where[0],
            other_numbers=where[1] if second else None,
        )
        self._check_left(pairs, kept, list(self.exclude))
        if against is not None:
            self._doubt_columns(against)
        genuine, impostor = _count(codes, excluded)
        images = sum(len(side.vectors) for side in sides)
        return pairs, Failures(
            images=images,
            failed=images - sum(map(len, where)),
            genuine=genuine - pairs.genuine,
            impostor=impostor - pairs.impostor,
        )

    @staticmethod
    def _check_left(pairs: AllPairs, codes: list[Ints], columns: list[str]) -> None:
        """Refuse columns to exclude by that remove every trial of a class."""
        without = [np.empty((len(code), 0), np.int64) for code in codes]
        for kind, left, before in zip(
            ("genuine", "impostor"),
            (pairs.genuine, pairs.impostor),
            _count(codes, without),
            strict=True,
        ):
            if before and not left:
                raise EvaluationError(
                    f"no {kind} trials: all {before:,} agree in a column to exclude by "
                    f"({', '.join(columns)}) and were removed: exclude by fewer columns"
                )

    def _doubt_columns(self, against: "Sample") -> None:
        """Warn of columns to exclude by whose values are spelled in two ways, as 01 and 1."""
        for name, column in self.exclude.items():
            own, other = (sorted(set(side.dropna())) for side in (column, against.exclude[name]))
            if own and other and not set(own) & set(other):
                warn(
                    f"excluding by {name} removes no trial: the two sets have no value of it in "
                    f"common ({own[0]}, ... and {other[0]}, ...); spell the values alike"
                )

    def share_with(self, people: Iterable[str], against: "Sample | None" = None) -> float:
        """Return the share of trials that compare someone of these people."""
        sides = [self] if against is None else [self, against]
        codes, excluded = self._codes(against)
        named = people_column(list(people)).tolist()
        clean = [side.acquired & ~np.isin(side.people, named) for side in sides]
        every, untouched = (
            sum(
                _count(
                    [code[rows] for code, rows in zip(codes, chosen, strict=True)],
                    [code[rows] for code, rows in zip(excluded, chosen, strict=True)],
                )
            )
            for chosen in ([side.acquired for side in sides], clean)
        )
        return 1 - untouched / every

    def _codes(self, against: "Sample | None") -> tuple[list[Ints], list[Ints]]:
        """Return the codes of people and of columns to exclude by, alike on both sides."""
        sides = [self] if against is None else [self, against]
        if against is not None and list(self.exclude) != list(against.exclude):
            only = sorted(set(self.exclude) ^ set(against.exclude))
            raise EvaluationError(
                f"both sets need the columns to exclude by: {', '.join(only)} is in one only"
            )
        ends = np.cumsum([len(side.people) for side in sides])[:-1]
        people = np.concatenate([side.people for side in sides])
        columns = [
            pd.concat([side.exclude[name] for side in sides], ignore_index=True)
            for name in self.exclude
        ]
        codes = pd.factorize(people)[0].astype(np.int64)
        return np.split(codes, ends), np.split(exclusion_codes(columns, len(people)), ends)


def check_length(length: int, name: str, rows: int) -> None:
    """Refuse a column that has not one value for each row."""
    if length != rows:
        raise EvaluationError(f"{length} {name} for {rows} vectors")


def _taken(rows: Floats, where: Ints) -> Floats:
    """Return the rows at `where`; themselves where that is all of them."""
    return rows if len(where) == len(rows) else rows[where]


def _count(codes: list[Ints], excluded: list[Ints]) -> tuple[int, int]:
    others = (codes[1], excluded[1]) if len(codes) > 1 else ()
    return count_trials(codes[0], excluded[0], *others)
