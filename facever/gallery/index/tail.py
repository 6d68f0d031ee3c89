"""Entries added after the snapshot, in growing arrays."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facever.gallery.records import Checksums, Entries, Keys, Vectors

T = TypeVar("T", bound=np.generic)


class Tail:
    """Entries in memory, in order of their numbers.

    Args:
        dimension: Dimension of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        self._vectors: Vectors = np.empty((0, dimension), np.float32)
        self._numbers: Keys = np.empty(0, np.int64)
        self._owners: Keys = np.empty(0, np.int64)
        self._checksums: Checksums = np.empty(0, np.uint32)
        self.count = 0

    def add(self, entries: Entries) -> None:
        """Append entries; their numbers must be larger than all existing ones."""
        end = self.count + len(entries.numbers)
        if end > len(self._numbers):
            self.reserve(max(end, len(self._numbers) * 3 // 2))
        here = slice(self.count, end)
        self._numbers[here], self._owners[here], self._vectors[here] = entries[:3]
        self._checksums[here] = entries.checksums
        self.count = end

    def reserve(self, capacity: int) -> None:
        """Make room for this number of entries, if there is less."""
        if capacity > len(self._numbers):
            self._vectors = _grown(self._vectors, self.count, capacity)
            self._numbers = _grown(self._numbers, self.count, capacity)
            self._owners = _grown(self._owners, self.count, capacity)
            self._checksums = _grown(self._checksums, self.count, capacity)

    def entries(self) -> Entries:
        """Return the current entries; the result does not change later."""
        here = slice(self.count)
        return Entries(
            self._numbers[here], self._owners[here], self._vectors[here], self._checksums[here]
        )

    def forget(self, numbers: Keys) -> None:
        """Set the owners of these entries to -1; ignore unknown numbers."""
        self._owners = forgotten(self._numbers[: self.count], self._owners, numbers)


def forgotten(there: Keys, owners: Keys, numbers: Keys) -> Keys:
    """Return the owners with -1 for some entries; a copy if any owner changes.

    Args:
        there: Numbers of all entries, int64 [N], ascending.
        owners: Owners of the entries, int64 [N] or longer.
        numbers: Numbers of the removed entries, int64 [M].
    """
    at = np.searchsorted(there, numbers)
    at = at[at < len(there)]
    at = at[np.isin(there[at], numbers)]
    if not len(at):
        return owners
    changed = owners.copy()
    changed[at] = -1
    return changed


def _grown(old: NDArray[T], count: int, capacity: int) -> NDArray[T]:
    new = np.empty((capacity, *old.shape[1:]), old.dtype)
    new[:count] = old[:count]
    return new
