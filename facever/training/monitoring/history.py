"""The figures of a training so far, and the subjects that alarms are about."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

_SPAN = (50, 300)
"""Updates over which something must last: an epoch, but not fewer and not more than these."""
_POINTS = 3  # at least so many looks in that span


class Figures:
    """The figures of a training: the latest, those of the span before, the first, the lowest.

    Args:
        updates_per_epoch: How long an epoch is.
    """

    def __init__(self, updates_per_epoch: int) -> None:
        self._span = max(_SPAN[0], min(updates_per_epoch, _SPAN[1]))
        self._now: Mapping[str, float] = {}
        self._recent: dict[str, list[tuple[int, float]]] = {}
        self._first: dict[str, float] = {}
        self._lowest: dict[str, float] = {}

    def note(self, update: int, figures: Mapping[str, float]) -> None:
        """Take up the figures of the log after so many updates, by their names in the log."""
        self._now = figures
        for name, value in figures.items():
            seen = self._recent.setdefault(name, [])
            seen.append((update, value))
            while len(seen) > _POINTS and seen[1][0] <= update - self._span:
                del seen[0]
            self._first.setdefault(name, value)
            if update > self._span:
                self._lowest[name] = min(value, self._lowest.get(name, value))

    def now(self, name: str) -> float | None:
        """Return the latest value, None where the latest figures have none."""
        return self._now.get(name)

    def span(self, name: str) -> Sequence[float]:
        """Return the values of the whole span, oldest first; empty before it is full."""
        seen = self._recent.get(name, [])
        if len(seen) < _POINTS or seen[-1][0] - seen[0][0] < self._span:
            return ()
        return [value for _, value in seen]

    def first(self, name: str) -> float | None:
        """Return the first value of all."""
        return self._first.get(name)

    def lowest(self, name: str) -> float | None:
        """Return the lowest value after the first span, None before."""
        return self._lowest.get(name)

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, in plain values."""
        return {
            "recent": {
                name: [list(point) for point in seen] for name, seen in self._recent.items()
            },
            "first": dict(self._first),
            "lowest": dict(self._lowest),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self._recent = {
            name: [(update, value) for update, value in seen]
            for name, seen in state["recent"].items()
        }
        self._first, self._lowest = dict(state["first"]), dict(state["lowest"])


class Subject(ABC):
    """What alarms are about, such as a head: it has figures of its own, and rules that check them.

    Args:
        figures: Those of the training.
        name: Begins the names of its figures: "NAME/accuracy".
        title: What messages call it.
    """

    def __init__(self, figures: Figures, name: str, title: str) -> None:
        self._figures, self.name, self.title = figures, name, title

    def now(self, stat: str) -> float | None:
        """Return the latest value of a figure of its own; see `Figures.now`."""
        return self._figures.now(f"{self.name}/{stat}")

    def span(self, stat: str) -> Sequence[float]:
        """Return the values of the whole span; see `Figures.span`."""
        return self._figures.span(f"{self.name}/{stat}")

    def first(self, stat: str) -> float | None:
        """Return the first value of all."""
        return self._figures.first(f"{self.name}/{stat}")

    def lowest(self, stat: str) -> float | None:
        """Return the lowest value after the first span; see `Figures.lowest`."""
        return self._figures.lowest(f"{self.name}/{stat}")

    @abstractmethod
    def troubles(self) -> dict[str, str | None]:
        """Return for each kind of alarm the message, or None where there is no such problem.

        A message says what is seen and what to try, in one line.
        """
