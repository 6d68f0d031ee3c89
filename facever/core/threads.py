"""Threads that process many items and return the results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # items started in advance per thread


def in_order(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield the result of `work` for each item, in order; threads work a few items ahead.

    Args:
        work: Called in several threads at once, or in this thread if `threads` is 1. Its first
            error ends the iteration.
        things: The items; they are read as needed.
        threads: Number of threads.
    """
    if threads == 1:
        yield from map(work, things)
        return
    rest = iter(things)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting: deque[Future[R]] = deque()
        for thing in islice(rest, threads * _AHEAD):
            waiting.append(pool.submit(work, thing))
        while waiting:
            done = waiting.popleft().result()
            for thing in islice(rest, 1):
                waiting.append(pool.submit(work, thing))
            yield done
    finally:
        pool.shutdown(cancel_futures=True)
