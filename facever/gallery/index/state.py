"""The state of a store, which an index or one of its files was made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from facever.gallery.records import Change, Entries
from facever.gallery.store.store import Store

AT_ONCE = 4096  # entries


@dataclass(frozen=True)
class State:
    """A state of a store.

    Args:
        gallery: The gallery's own identifier.
        generation: Changes when all entries are replaced.
        change: The newest change.
        dimension: Dimension of the vectors.
        people: Upper bound of the number of people.
    """

    gallery: str
    generation: str
    change: Change
    dimension: int
    people: int

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return the current state of a store."""
        with store.reading():
            return cls(
                store.gallery,
                store.generation(),
                store.change(),
                store.binding.dimension,
                store.counts()[0],
            )

    def is_of(self, store: Store) -> bool:
        """Return whether a store had this state and since then only added and removed entries."""
        with store.reading():
            now = State.of(store)
            same = (self.gallery, self.generation, self.dimension)
            if same != (now.gallery, now.generation, now.dimension):
                return False
            return self.change == now.change or store.had(self.change)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {
            "gallery": self.gallery,
            "generation": self.generation,
            "change": self.change.number,
            "stamp": self.change.stamp,
            "dimension": self.dimension,
            "people": self.people,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the state from the result of `to_dict`; other keys are ignored."""
        return cls(
            values["gallery"],
            values["generation"],
            Change(values["change"], values["stamp"]),
            values["dimension"],
            values["people"],
        )


def entries_after(store: Store, number: int) -> Iterator[Entries]:
    """Yield the entries after a number, in blocks, in one reading transaction."""
    while True:
        entries = store.entries_after(number, AT_ONCE)
        if not len(entries.numbers):
            return
        yield entries
        number = int(entries.numbers[-1])
