"""What answers searches over entries; the store tells it what changes.

An *entry* is a number, an owner (a person's key) and a unit vector. The store is the truth: an
engine may lose everything and is filled again. The embedded engine (`embedded.py`) is the one
there is; a remote one, such as a vector database, would take its place behind the same few calls.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from facever.gallery.records import Change, Entries, Keys, Scores, Vectors
from facever.operating_point import ScoreRule

__all__ = ["DamagedError", "Engine", "Entries", "Scores", "State"]


class DamagedError(Exception):
    """Entries that a search came upon are not as they were enrolled.

    Args:
        numbers: Of the entries, int64 [N].
    """

    def __init__(self, numbers: Keys) -> None:
        super().__init__(f"{len(numbers)} damaged entries")
        self.numbers = numbers


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

    def mend(self, numbers: Keys, entries: Entries) -> None:
        """Put entries in place of those of these numbers, which are damaged.

        Searches see it at once. Those of the numbers that are not among the entries go.
        """

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        """Return the k nearest people of each query, best first.

        Scores are `pair_cosines` of vectors that were just verified, however the candidates were
        found; k people are found when there are k.

        Args:
            queries: float32 [Q, D], unit rows.
            k: How many people, 1 or more.
            rule: A person's score is the largest ("max") or the mean cosine over their entries.
            among: Only these people, int64 [P]; all by default.

        Returns:
            Scores float32 [Q, k] and people's keys int64 [Q, k]; where there are fewer than k
            people, -inf and -1.

        Raises:
            DamagedError: Candidates are not as they were enrolled; `mend` and search again.
        """

    def count(self) -> int:
        """Return how many entries there are."""

    def last(self) -> int:
        """Return the largest number that was added, also if it went since; 0 without any."""

    def iterate(self) -> Iterator[Entries]:
        """Yield all entries, some at a time, in the order of their numbers."""

    def close(self) -> None:
        """Let go of what the engine holds open."""
