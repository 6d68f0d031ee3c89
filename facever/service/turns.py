"""Turns: as many threads compute at once as there are CPUs."""

import threading
from collections import deque

from facever.data.machine import usable_cpus
from facever.errors import FaceverError


class QueueFullError(FaceverError):
    """More images wait than the queue holds."""


class Turns:
    """As many at once as there are CPUs; others wait in the order in which they came, up to a
    number. A thread that has a turn may enter again.

    Args:
        queue: How many may wait.
    """

    def __init__(self, queue: int) -> None:
        self._free, self._queue = usable_cpus(), queue
        self._waiting: deque[threading.Lock] = deque()
        self._changing = threading.Lock()
        self._own = threading.local()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        """Wait for a turn.

        Raises:
            QueueFullError: Too many wait already.
        """
        entered = getattr(self._own, "entered", 0)
        if not entered:
            self._wait()
        self._own.entered = entered + 1

    def __exit__(self, *_: object) -> None:
        self._own.entered -= 1
        if self._own.entered:
            return
        with self._changing:
            if self._waiting:
                self._waiting.popleft().release()  # the first one has this turn now
            else:
                self._free += 1

    def _wait(self) -> None:
        with self._changing:
            if self._free:
                self._free -= 1
                return
            if len(self._waiting) >= self._queue:
                raise QueueFullError(
                    f"{len(self._waiting)} images wait, and at most {self._queue} may: try again "
                    "later"
                )
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()
