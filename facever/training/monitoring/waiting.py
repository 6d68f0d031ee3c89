"""What part of a training's time its model waited for images."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch

T = TypeVar("T")

Span: TypeAlias = tuple[Any, Any]
"""When something began and ended: seconds, or events of a GPU."""

MUCH = 30.0
"""Per cent of the time that are said to be too many."""

JUDGED_AFTER = 100
"""Updates before that is said: the first ones start workers and fill the cache."""


class Spent(NamedTuple):
    """What became of the time between two lines of the log.

    `seconds` went into updates and waiting, `waited` per cent of them (0 to 100) into waiting.
    """

    seconds: float
    waited: float


class DataWait:
    """Adds up waiting and work, from one line of the log to the next.

    On the CPU waiting is the time until a batch is there. A GPU works on while the program already
    waits, so that there only that part of it counts in which the GPU has nothing left to do.

    Args:
        device: Where the model works.
        cached: Whether decoded images are kept in memory.
    """

    def __init__(self, device: torch.device, cached: bool = False) -> None:
        self._on_gpu, self._cached = device.type == "cuda", cached
        self._waits: list[Span] = []
        self._work: list[Span] = []
        self._updates = 0
        self._total_waited = self._total = 0.0
        self._said = False

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, and count the time until each is there."""
        left = iter(batches)
        while True:
            with self._clocked(self._waits):
                batch = next(left, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside as that of one update."""
        self._updates += 1
        with self._clocked(self._work):
            yield

    def take(self) -> Spent:
        """Return what became of the time since the last call, evaluations left out."""
        if self._on_gpu:
            torch.cuda.synchronize()
        waited, worked = (sum(map(_seconds, spans)) for spans in (self._waits, self._work))
        self._waits, self._work = [], []
        total = waited + worked
        if self._updates > JUDGED_AFTER:
            self._total_waited += waited
            self._total += total
        return Spent(total, 100 * waited / total if total > 0 else 0.0)

    @contextmanager
    def _clocked(self, spans: list[Span]) -> Iterator[None]:
        """Add the time inside to the spans."""
        if self._on_gpu:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            yield
            last.record()
            spans.append((first, last))
        else:
            began = time.perf_counter()
            yield
            spans.append((began, time.perf_counter()))

    def complaint(self) -> str | None:
        """Return, once, what to do where the model waits for much of the time."""
        share = 100 * self._total_waited / self._total if self._total > 0 else 0.0
        if self._said or share <= MUCH:
            return None
        self._said = True
        remedies = (
            "less augmentation" if self._cached else "data.cache: always, or smaller images on disk"
        )
        return (
            f"the model waited {share:.0f} % of the time for images: more workers where cores are "
            f"idle, {remedies} would make it faster (docs/scaling.md)"
        )


def _seconds(span: Span) -> float:
    first, last = span
    if isinstance(first, torch.cuda.Event):
        return float(first.elapsed_time(last)) / 1000
    return float(last - first)
