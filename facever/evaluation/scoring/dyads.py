"""Pairs of people (dyads) of trials, for intervals clustered by identity."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from facever.evaluation.scoring.similarity import Doubles, Ints, Numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Part = tuple[Numbers, Numbers, Doubles | None]
"""The two people of each trial [K], and a weight for each trial [K], or None for weights of 1."""

_AT_ONCE = 1 << 20  # trials


class Dyads(ABC):
    """The impostor trials of every pair of people (dyad), T_ij, i != j.

    Attributes:
        people: Number of people, I; they are numbered from 0.
        per_person: float64 [I], T_i = sum over j of T_ij.
        squares: The sum of T_ij² over the pairs i < j.
    """

    people: int
    per_person: Doubles
    squares: float

    @abstractmethod
    def between(self, i: Ints, j: Ints) -> Doubles:
        """Return T_ij of each pair (i, j), float64 [K]."""


class SummedDyads(Dyads):
    """The dyads of trials that are already counted.

    Args:
        trials: The number of impostor trials of each pair of people, in the order of `of_keys`.
        people: Number of people.
    """

    def __init__(self, trials: "DyadErrors", people: int) -> None:
        self.people = people
        self._keys, self._counts = dyad_keys(trials.i, trials.j, people), trials.counts
        self.squares = float(self._counts @ self._counts)
        ends = np.concatenate([trials.i, trials.j])
        both = np.bincount(ends, np.tile(self._counts, 2), people)
        self.per_person = both.astype(np.float64)

    def between(self, i: Ints, j: Ints) -> Doubles:
        """Return T_ij of each pair (i, j), float64 [K]."""
        if not len(i):
            return np.empty(0)
        return self._counts[np.searchsorted(self._keys, dyad_keys(i, j, self.people))]


class ListedDyads(SummedDyads):
    """The dyads of listed trials.

    Args:
        i, j: int64 [M], the two people of each impostor trial.
        people: Number of people.
    """

    def __init__(self, i: Numbers, j: Numbers, people: int) -> None:
        super().__init__(DyadErrors.of(i, j, people), people)


class BlockDyads(Dyads):
    """The dyads of all pairs of rows, from the number of rows of each person.

    T is a sum over the sets S of excluding columns of ± A_S B_S', where A_S [I, values] counts a
    person's rows by their values in S; no I x I matrix is made.

    Args:
        codes: int64 [N], the person of each row.
        excluded: int64 [N, C], codes of the columns whose equality excludes a pair.
        other_codes: int64 [M], of a second set.
        other_excluded: int64 [M, C], of a second set.
        people: Number of people, including people without rows; by default the number of people
            in `codes`.
    """

    def __init__(
        self,
        codes: Ints,
        excluded: Ints,
        other_codes: Ints | None = None,
        other_excluded: Ints | None = None,
        *,
        people: int | None = None,
    ) -> None:
        both = codes if other_codes is None else np.concatenate([codes, other_codes])
        self.people = int(both.max(initial=-1)) + 1 if people is None else people
        self._terms: list[tuple[int, csr_array, csr_array]] = []
        for size in range(excluded.shape[1] + 1):
            for chosen in combinations(range(excluded.shape[1]), size):
                values = excluded[:, chosen]
                if other_excluded is not None:
                    values = np.concatenate([values, other_excluded[:, chosen]])
                table = self._table(both, values)
                first, second = table[: len(codes)], table[len(codes) :]
                one = self._counts(codes, first, int(table.max(initial=0)) + 1)
                two = one
                if other_codes is not None:
                    two = self._counts(other_codes, second, int(table.max(initial=0)) + 1)
                    self._terms.append(((-1) ** size, two, one))
                self._terms.append(((-1) ** size, one, two))
        self.per_person = np.zeros(self.people)
        for sign, left, right in self._terms:
            self.per_person += sign * (left @ right.sum(axis=0))
        everyone = np.arange(self.people)
        own = self.between(everyone, everyone)
        self.per_person -= own
        total = sum(
            sign * other * float(((one.T @ left) * (two.T @ right)).sum())
            for sign, one, two in self._terms
            for other, left, right in self._terms
        )
        self.squares = (total - float(own @ own)) / 2

    def between(self, i: Ints, j: Ints) -> Doubles:
        """Return T_ij of each pair (i, j), float64 [K]."""
        trials = np.zeros(len(i))
        for sign, left, right in self._terms:
            trials += sign * np.asarray((left[i] * right[j]).sum(axis=1)).ravel()
        return trials

    def _counts(self, codes: Ints, values: Ints, width: int) -> "csr_array":
        from scipy.sparse import csr_array

        ones = np.ones(len(codes))
        return csr_array((ones, (codes, values)), shape=(self.people, width))

    @staticmethod
    def _table(codes: Ints, values: Ints) -> Ints:
        """Number the combinations of values."""
        if not values.shape[1]:
            return np.zeros(len(codes), np.int64)
        inverse = np.unique(values, axis=0, return_inverse=True)[1]
        return np.asarray(inverse, np.int64).ravel()


@dataclass(frozen=True)
class DyadErrors:
    """The errors of the pairs of people with errors.

    Attributes:
        i, j: int64 [K], i < j, each pair once.
        counts: float64 [K], errors (or any sum over the trials) of the pair.
    """

    i: Ints
    j: Ints
    counts: Doubles

    def take(self, index: slice) -> "DyadErrors":
        """Return the pairs at `index`."""
        return DyadErrors(self.i[index], self.j[index], self.counts[index])

    @classmethod
    def join(cls, parts: Sequence["DyadErrors"], people: int) -> "DyadErrors":
        """Add up the pairs of several parts."""
        keys = np.concatenate([dyad_keys(part.i, part.j, people) for part in parts])
        return cls.of_keys(keys, people, np.concatenate([part.counts for part in parts]))

    @classmethod
    def of(
        cls, i: Numbers, j: Numbers, people: int, weights: Doubles | None = None
    ) -> "DyadErrors":
        """Add up the trials (i, j) by pairs of people."""
        return cls.of_parts([(i, j, weights)], people, len(i))

    @classmethod
    def of_parts(cls, parts: Iterable[Part], people: int, trials: int) -> "DyadErrors":
        """Add up trials by pairs of people; they are given in parts (i, j, weights)."""
        keys, counts = _added(parts, people, trials)
        return cls(keys // people, keys % people, counts)

    @classmethod
    def of_keys(cls, keys: Ints, people: int, weights: Doubles | None = None) -> "DyadErrors":
        """Add up trials by their `dyad_keys`."""
        found, at = np.unique(keys, return_inverse=True)
        counts = np.bincount(at.ravel(), weights=weights, minlength=len(found))
        return cls(found // people, found % people, counts.astype(np.float64))


@dataclass(frozen=True)
class DyadSums:
    """Sums of errors_ij for the dyadic variance; sums of disjoint sets of dyads can be added.

    Attributes:
        total: Sum of errors_ij over i < j.
        per_person: float64 [I], sum over j of errors_ij.
        squares: Sum of errors_ij² over i < j.
        shared: Sum of errors_ij · T_ij over i < j.
    """

    total: float
    per_person: Doubles
    squares: float
    shared: float

    @classmethod
    def of(cls, errors: DyadErrors, dyads: Dyads) -> "DyadSums":
        """Sum the errors of some dyads."""
        counts = errors.counts
        ends = np.concatenate([errors.i, errors.j])
        both = np.bincount(ends, weights=np.tile(counts, 2), minlength=dyads.people)
        per_person = both.astype(np.float64)
        shared = float(counts @ dyads.between(errors.i, errors.j))
        return cls(float(counts.sum()), per_person, float(counts @ counts), shared)

    def __add__(self, other: "DyadSums") -> "DyadSums":
        return DyadSums(
            self.total + other.total,
            self.per_person + other.per_person,
            self.squares + other.squares,
            self.shared + other.shared,
        )


def _added(parts: Iterable[Part], people: int, trials: int) -> tuple[Ints, Doubles]:
    """Add up trials by pairs of people: ascending `dyad_keys` and their sums.

    If there are more trials than pairs of people, a sum is held for every pair: this needs no
    sorting, and no more memory for more trials.
    """
    if people**2 > trials:
        keys, weights = [np.empty(0, np.int64)], [np.empty(0)]
        for i, j, values in parts:
            keys.append(dyad_keys(i, j, people))
            weights.append(np.ones(len(i)) if values is None else values)
        found, at = np.unique(np.concatenate(keys), return_inverse=True)
        added = np.bincount(at.ravel(), np.concatenate(weights), len(found))
        return found, added.astype(np.float64)
    there, sums = np.zeros(people**2, bool), np.zeros(people**2)
    for i, j, values in parts:
        for start in range(0, len(i), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = dyad_keys(i[part], j[part], people)
            np.add.at(sums, some, 1.0 if values is None else values[part])
            there[some] = True
    found = np.flatnonzero(there)
    return found, sums[found]


def dyad_keys(i: Numbers, j: Numbers, people: int) -> Ints:
    """Return one number for each unordered pair of people."""
    return np.minimum(i, j).astype(np.int64) * people + np.maximum(i, j)
