"""Searches of entries that the database makes itself."""

from collections.abc import Collection
from typing import NamedTuple, Protocol, Self

from facever.errors import GalleryError
from facever.gallery.records import Keys, Scores, Vectors


class SearchTableError(GalleryError):
    """What the database searches is missing, or was made anew meanwhile."""


class Proposed(NamedTuple):
    """Entries of a search, best first.

    Args:
        numbers: int64 [N].
        owners: People's keys, int64 [N].
        scores: float32 [N], rounded inner products.
    """

    numbers: Keys
    owners: Keys
    scores: Scores


class ChosenEntries(NamedTuple):
    """The entries that are searched.

    Args:
        people: Only those of these people, int64 [P]; None for all.
        numbers: Only those of these numbers, int64 [N]; None for all.
        without: Numbers of entries that are omitted.
    """

    people: Keys | None = None
    numbers: Keys | None = None
    without: Collection[int] = ()


class EntrySearch(Protocol):
    """The entries in the database, searched at one state.

    Its scores have the rounding errors of float32 sums; vectors are read elsewhere.

    Attributes:
        dimension: Dimension of the vectors.
    """

    dimension: int

    def with_effort(self, effort: int) -> Self:
        """Return the same search with another `ef_search` or `probes`."""

    def nearest(self, query: Vectors, limit: int, chosen: ChosenEntries) -> Proposed:
        """Return the best entries for a query by exact search.

        Args:
            query: float32 [D], a unit row.
            limit: Maximum number of entries.
            chosen: The entries that are searched.
        """

    def best_means(self, query: Vectors, limit: int, chosen: ChosenEntries) -> Proposed:
        """Return the best people by the mean of their entries' scores, as `owners` and `numbers`;
        see `nearest`.
        """

    def proposed(self, query: Vectors, least: int) -> Keys | None:
        """Return the keys of people near a query by the approximate index, in any order.

        Args:
            query: float32 [D], a unit row.
            least: Number of people that are wanted.

        Returns:
            int64 [P]; None for exact search.
        """

    def size(self) -> int:
        """Return the bytes of what is searched, with its index."""

    def of_people(self, people: Keys) -> Keys:
        """Return the numbers of the entries of some people, int64 [N]."""
