"""What answers searches over entries; the store tells it what changes.

An *entry* is a number, an owner (a person's key) and a unit vector. The store is the truth: an
engine may lose everything and is filled again. The embedded engine (`embedded.py`) is the one
there is; a remote one, such as a vector database, would take its place behind the same few calls.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from facever.evaluation.operating_point import ScoreRule
from facever.gallery.records import Change, Keys, Vectors

Scores = NDArray[np.float32]


class Entries(NamedTuple):
    """Entries, in the order of their numbers.

    Args:
        numbers: int64 [N], ascending; never used twice.
        owners: People's keys, int64 [N]; -1 in an engine's own rows is nobody: removed.
        vectors: float32 [N, D], unit rows.
    """

    numbers: Keys
    owners: Keys
    vectors: Vectors

    def rows(self, which: slice | NDArray[np.bool_]) -> "Entries":
        """Return some of the entries."""
        return Entries(self.numbers[which], self.owners[which], self.vectors[which])


@dataclass(frozen=True)
class State:
    """A state of a store: what an engine holds is the entries of one.

    Args:
        gallery: The gallery's own identifier.
        generation: Changes when all entries become others.
        change: The newest change.
        dimension: Of the vectors.
        people: How many people there are, at most.
    """

    gallery: str
    generation: str
    change: Change
    dimension: int
    people: int


class Engine(Protocol):
    """Holds entries and finds the people nearest to a query.

    Threads share one: a search sees what was there at the last `reach`, whole. Only one thread at
    a time changes it.
    """

    def open(self, belongs: Callable[[State], bool]) -> State | None:
        """Take up what is kept from before when `belongs` says that it is a state of the store.

        Returns:
            That state; None where there is nothing to take up: then `create` follows.
        """

    def create(self, dimension: int) -> None:
        """Begin with nothing, for vectors of this dimension; whatever was there is dropped."""

    def upsert(self, entries: Entries) -> None:
        """Add entries; one that is there already, after a failure, takes its own place."""

    def delete(self, numbers: Keys) -> None:
        """Remove the entries of these numbers; numbers that are not there are no error."""

    def reach(self, state: State) -> None:
        """Let searches see what was changed: it is `state` now, whole."""

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Return the k nearest people of each query, best first.

        Scores are cosines of the vectors themselves, also where candidates are found by
        approximation; k people are found when there are k.

        Args:
            queries: float32 [Q, D], unit rows.
            k: How many people, 1 or more.
            rule: A person's score is the largest ("max") or the mean cosine over their entries.
            among: Only these people, int64 [P]; all by default.

        Returns:
            Scores float32 [Q, k] and people's keys int64 [Q, k]; where there are fewer than k
            people, -inf and -1.
        """

    def count(self) -> int:
        """Return how many entries there are."""

    def last(self) -> int:
        """Return the largest number that was added, also if it went since; 0 without any."""

    def iterate(self) -> Iterator[Entries]:
        """Yield all entries, some at a time, in the order of their numbers."""

    def close(self) -> None:
        """Let go of what the engine holds open."""
