"""Messages and progress while a command runs.

They are printed to standard error, so that standard output contains only results. On a terminal,
progress is a bar with speed and remaining time; elsewhere it is a line from time to time.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from facever.core.processes import is_main
from facever.errors import plain

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """Print one line; with several processes, only the first one prints."""
    if is_main():
        print(printable(line), file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Print one warning line."""
    say(f"warning: {line}")


def printable(text: str) -> str:
    """Return lines that are safe for a terminal: control characters, such as escape codes in file
    names, are escaped.
    """
    return "\n".join(plain(line) for line in text.split("\n"))


class Progress:
    """A running count of `total` items, shown with speed and remaining time."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done, self.note = 0, ""
        self._start = self._last_line = time.monotonic()
        self._initial = 0
        self._bar = (
            _make_bar(description, total, unit) if sys.stderr.isatty() and is_main() else None
        )

    def start_at(self, done: int) -> None:
        """Count `done` as finished before this process began (after a resume)."""
        self.done = self._initial = done

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add `count` finished items and optionally a short note such as the loss."""
        self.done += count
        self.note = note or self.note
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=self.done, note=self.note, speed=f"{self.speed:.0f}")
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            say(self.line())

    @property
    def speed(self) -> float:
        """Items per second in this process."""
        return (self.done - self._initial) / max(time.monotonic() - self._start, 1e-9)

    def line(self) -> str:
        """Return the state as one plain line."""
        of = f"/{self.total}" if self.total is not None else ""
        left = ""
        if self.total is not None and self.done < self.total and self.speed > 0:
            left = f", {duration((self.total - self.done) / self.speed)} left"
        note = f", {self.note}" if self.note else ""
        return f"{self.description}: {self.done}{of} {self.unit}, {self.speed:.0f}/s{left}{note}"

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None


@contextmanager
def progress(description: str, total: int | None = None, unit: str = "") -> Iterator[Progress]:
    """Yield a Progress and close it at the end."""
    shown = Progress(description, total, unit)
    try:
        yield shown
    finally:
        shown.close()


def track(items: Iterable[T], description: str, total: int, unit: str = "") -> Iterator[T]:
    """Yield the items while showing how far the loop is."""
    with progress(description, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()


def duration(seconds: float) -> str:
    """Return seconds in readable form: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def byte_count(count: float) -> str:
    """Return a number of bytes in readable form: 4.9 MB, 21.12 GB."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _make_bar(description: str, total: int | None, unit: str):  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[speed]} " + f"{unit}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
    bar.start()
    return bar, bar.add_task(description, total=total, note="", speed="0")
