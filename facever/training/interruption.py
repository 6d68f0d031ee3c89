"""SIGTERM and Ctrl-C: finish the update at hand, save, leave."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from facever.core.console import say

T = TypeVar("T")


class _StopWaiting(BaseException):
    """Ends the wait for data; no handler of errors may swallow it."""


class Interruption:
    """Whether someone asked this process to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._waits = False
        self._process = os.getpid()

    def request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note the first request, and end a wait for data; a second Ctrl-C stops at once."""
        if os.getpid() != self._process:
            return  # a process that has just been forked
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        if not self._waits:
            say(f"{self.signal.name}: saving a checkpoint after this step")
            return
        self._waits = False
        say(f"{self.signal.name}: saving a checkpoint")
        raise _StopWaiting

    def until(self, groups: Iterable[T]) -> Iterator[T]:
        """Yield what comes, until someone asks to stop while the next one is waited for."""
        waiting = iter(groups)
        try:
            while True:
                self._waits = True
                group = next(waiting, None)
                self._waits = False
                if group is None:
                    return
                yield group
        except _StopWaiting:
            return
        finally:
            self._waits = False

    def __bool__(self) -> bool:
        return self.signal is not None


class Interrupted(Exception):  # noqa: N818 - a request that was granted, not an error
    """The training saved its state and left because of a signal."""

    def __init__(self, by: signal.Signals, run: str) -> None:
        super().__init__(f"stopped by {by.name}; continue with: facever train --resume {run}")
        self.exit_status = 128 + by.value


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Yield an Interruption that SIGTERM and SIGINT set; restore the handlers at the end.

    Outside the main thread signals cannot be caught: the Interruption then stays unset.
    """
    asked = Interruption()
    try:
        before = {
            number: signal.signal(number, asked.request)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
    except ValueError:
        before = {}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
