"""Turns: as many threads compute at once as there are CPUs."""

import threading
from collections import deque

from facever.data.machine import usable_cpus


class Turns:
    """As many at once as there are CPUs; others wait in the order in which they came. A thread that
    has a turn may enter again.
    """

    def __init__(self) -> None:
        self._free = usable_cpus()
        self._waiting: deque[threading.Lock] = deque()
        self._changing = threading.Lock()
        self._own = threading.local()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        """Wait for a turn."""
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
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()
