"""Turns: first come first served."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from facever.data.machine import usable_cpus
from facever.service.turns import Turns


def test_as_many_work_at_once_as_there_are_cpus():
    turns = Turns()
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
        go.set()
        for task in tasks:
            task.result()
    assert turns.waiting == 0


def test_turns_are_given_in_the_order_of_coming():
    turns, order = Turns(), []
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
    turns, until = Turns(), threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        with turns:
            held.release()
            until.wait(10)

    def come() -> None:
        with turns:
            pass

    with ThreadPoolExecutor(usable_cpus() + 1) as pool:
        with turns:
            for _ in range(usable_cpus() + 1):
                with turns:
                    pass
            others = [pool.submit(hold) for _ in range(usable_cpus() - 1)]
            assert all(held.acquire(timeout=10) for _ in others)
            last = pool.submit(come)
            while not turns.waiting:  # for ever, if the inner exits had given the turn back
                assert not last.done()
                time.sleep(0.001)
        last.result(10)
        until.set()
        for one in others:
            one.result(10)
