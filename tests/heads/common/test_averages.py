import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from facever.heads.common.averages import StepAverage


def test_one_batch_per_step_is_the_average_updated_in_the_forward_pass():
    average = StepAverage([20.0, 100.0], 0.3)
    wanted = torch.tensor([20.0, 100.0])
    for values in ([1.0, 2.0], [5.0, 0.0], [-3.0, 7.0]):
        wanted = 0.7 * wanted + 0.3 * torch.tensor(values)
        torch.testing.assert_close(average(torch.tensor(values), True), wanted)
        average.step_completed()
        torch.testing.assert_close(average.average, wanted)


def test_a_step_counts_the_mean_of_its_micro_batches_and_nothing_else():
    average = StepAverage([10.0], 0.5)
    for value in (2.0, 6.0):  # a micro-batch sees itself only
        assert average(torch.tensor([value]), True).item() == 5 + value / 2
    assert average(torch.tensor([100.0]), False).item() == 55
    assert average.average.item() == 10
    average.step_completed()
    assert average.average.item() == 7
    average.step_completed()  # a step without batches changes nothing
    assert average.average.item() == 7


def test_it_is_in_the_state_dict():
    average, other = StepAverage([1.0], 0.5), StepAverage([1.0], 0.5)
    average(torch.tensor([3.0]), True)
    average.step_completed()
    other.load_state_dict(average.state_dict())
    assert other.average.item() == 2


def _in_process(rank: int, port: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=2, rank=rank)
    average = StepAverage([10.0], 0.5)
    for value in ([2.0, 6.0], [1.0])[rank]:
        average(torch.tensor([value]), True)
    average.step_completed()
    assert average.average.item() == pytest.approx(6.5)  # half of 10 and of 3, the mean of three
    dist.destroy_process_group()


def test_two_processes_keep_the_average_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_in_process, (port,), nprocs=2)
