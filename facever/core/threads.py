"""Threads that do the same to many things, and hand on the results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # things that are begun before their turn, for each thread


def in_order(work: Callable[[T], R], things: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield what `work` returns for each thing, in their order; threads are a few things ahead.

    Args:
        work: What is done; it is called in several threads at once, in this one where `threads`
            is 1. Its first error ends all.
        things: What it is done to; they are taken as they are needed.
        threads: How many work.
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
