"""Threads that hand on in order."""

import threading
import time

import pytest

from facever.core.threads import in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    assert list(in_order(slow_first, range(20), threads)) == [n * n for n in range(20)]
    assert list(in_order(slow_first, [], threads)) == []


def test_they_work_at_once_and_not_far_ahead() -> None:
    barrier, begun = threading.Barrier(3, timeout=10), []

    def together(number: int) -> int:
        begun.append(number)
        if number < 3:
            barrier.wait()
        return number

    done = in_order(together, range(1000), 3)
    assert next(done) == 0
    done.close()
    assert len(begun) < 50


def test_an_error_ends_all() -> None:
    def fails(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    found = []
    with pytest.raises(ValueError, match="seven"):
        found.extend(in_order(fails, range(100), 3))
