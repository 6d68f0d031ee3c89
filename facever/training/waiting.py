"""What part of a training's time its model waited for images."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")

MUCH = 30.0
"""Per cent of the time that are said to be too many."""

JUDGED_AFTER = 100
"""Updates before that is said: the first ones start workers and fill the cache."""


class DataWait:
    """Adds up waiting and work, from one line of the log to the next.

    On the CPU waiting is the time until a batch is there. A GPU works on while the program already
    waits, so that there it is the time between the end of an update's kernels and the beginning of
    the next one's.

    Args:
        device: Where the model works.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._waited = self._worked = 0.0
        self._updates = 0
        self._total_waited = self._total = 0.0
        self._said = False
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, and count the time until each is there."""
        left = iter(batches)
        while True:
            began = time.perf_counter()
            try:
                batch = next(left)
            except StopIteration:
                return
            if not self._on_gpu:
                self._waited += time.perf_counter() - began
            yield batch

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside as that of one update."""
        self._updates += 1
        if self._on_gpu:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            first.record()
            yield
            last.record()
            self._marks.append((first, last))
        else:
            began = time.perf_counter()
            yield
            self._worked += time.perf_counter() - began

    def take(self) -> float:
        """Return the per cent of the time since the last call that went into waiting, 0 to 100."""
        if self._marks:
            torch.cuda.synchronize()
            self._worked += sum(a.elapsed_time(b) for a, b in self._marks) / 1000
            gaps = zip(self._marks, self._marks[1:], strict=False)
            self._waited += sum(before[1].elapsed_time(after[0]) for before, after in gaps) / 1000
            self._marks = self._marks[-1:]  # the next gap begins with it
            self._worked -= self._marks[0][0].elapsed_time(self._marks[0][1]) / 1000
        waited, total = self._waited, self._waited + self._worked
        self._waited = self._worked = 0.0
        if self._updates > JUDGED_AFTER:
            self._total_waited += waited
            self._total += total
        return 100 * waited / total if total > 0 else 0.0

    def complaint(self) -> str | None:
        """Return, once, what to do where the model waits for much of the time."""
        share = 100 * self._total_waited / self._total if self._total > 0 else 0.0
        if self._said or share <= MUCH:
            return None
        self._said = True
        return (
            f"the model waited {share:.0f} % of the time for images: more workers, data.cache "
            "always, or smaller images on disk (docs/scaling.md) would make it faster"
        )
