"""Turns: bounded, first come first served."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from facever.data.machine import usable_cpus
from facever.service.turns import QueueFullError, Turns


def test_photos_that_wait_for_detection_are_bounded():
    turns = Turns(queue=2)
    go = threading.Event()
    begun = threading.Barrier(usable_cpus() + 1)

    def work(number: int) -> None:
        with turns:
            if number < usable_cpus():
                begun.wait(10)
                go.wait(10)

    with ThreadPoolExecutor(usable_cpus() + 2) as pool:
        tasks = [pool.submit(work, number) for number in range(usable_cpus())]
        begun.wait(10)
        tasks += [pool.submit(work, 99), pool.submit(work, 99)]
        while turns.waiting < 2:
            time.sleep(0.001)
        with pytest.raises(QueueFullError, match="2 images"):
            turns.__enter__()
        go.set()
        for task in tasks:
            task.result()
    assert turns.waiting == 0


def test_turns_are_given_in_the_order_of_coming():
    turns, order = Turns(queue=20), []
    held = [threading.Event() for _ in range(usable_cpus())]

    def hold(until: threading.Event) -> None:
        with turns:
            until.wait(10)

    def come(number: int) -> None:
        with turns:
            order.append(number)

    with ThreadPoolExecutor(usable_cpus() + 12) as pool:
        tasks = [pool.submit(hold, one) for one in held]
        for number in range(12):
            while turns.waiting < number:
                time.sleep(0.001)
            tasks.append(pool.submit(come, number))
        while turns.waiting < 12:
            time.sleep(0.001)
        held[0].set()  # one turn, handed from one to the next
        while len(order) < 12:
            time.sleep(0.001)
        for one in held:
            one.set()
        for task in tasks:
            task.result()
    assert order == list(range(12))


def test_who_has_a_turn_enters_again_without_waiting():
    turns = Turns(queue=0)
    with ThreadPoolExecutor(1) as pool, turns:
        for _ in range(usable_cpus() + 1):
            with turns:
                pass

        def another() -> None:
            with turns:
                pass

        for _ in range(usable_cpus() - 1):
            turns._wait()
        with pytest.raises(QueueFullError):  # the inner exits have given nothing back
            pool.submit(another).result()
