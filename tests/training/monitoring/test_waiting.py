import time

import pytest
import torch

from facever.training.monitoring.waiting import JUDGED_AFTER, DataWait


def slow(count: int, seconds: float):
    for number in range(count):
        time.sleep(seconds)
        yield number


def run(wait: DataWait, count: int, waiting: float, working: float) -> list[int]:
    seen = []
    for number in wait.watch(slow(count, waiting)):
        with wait.working():
            time.sleep(working)
        seen.append(number)
    return seen


def test_the_share_is_that_of_the_time_since_the_last_look():
    wait = DataWait(torch.device("cpu"))
    assert wait.take() == (0, 0)
    assert run(wait, 10, 0.03, 0.01) == list(range(10))
    spent = wait.take()
    assert 60 < spent.waited < 80
    assert spent.seconds == pytest.approx(0.4, rel=0.3)
    run(wait, 10, 0.01, 0.03)
    assert 20 < wait.take().waited < 40


def test_what_happens_between_updates_and_batches_counts_as_neither():
    wait = DataWait(torch.device("cpu"))
    for _ in wait.watch(slow(4, 0.02)):
        with wait.working():
            time.sleep(0.02)
        time.sleep(0.05)  # an evaluation
    spent = wait.take()
    assert 40 < spent.waited < 60
    assert spent.seconds < 0.25


def test_much_waiting_is_said_once_and_not_of_the_first_updates():
    wait = DataWait(torch.device("cpu"))
    run(wait, JUDGED_AFTER, 0.0005, 0.0)
    wait.take()
    assert wait.complaint() is None
    run(wait, 20, 0.002, 0.001)
    wait.take()
    complaint = wait.complaint()
    assert complaint is not None
    assert complaint.startswith("the model waited ")
    assert "data.cache: always" in complaint
    assert wait.complaint() is None


def test_what_is_done_already_is_not_recommended():
    wait = DataWait(torch.device("cpu"), cached=True)
    run(wait, JUDGED_AFTER + 20, 0.0005, 0.0)
    wait.take()
    complaint = wait.complaint()
    assert complaint is not None
    assert "data.cache" not in complaint
    assert "augmentation" in complaint


def test_little_waiting_is_not_said():
    wait = DataWait(torch.device("cpu"))
    run(wait, JUDGED_AFTER + 20, 0.0, 0.001)
    wait.take()
    assert wait.complaint() is None
