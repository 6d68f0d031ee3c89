"""Several processes as one: what they exchange, and how all end when one fails."""

import math
import re
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facever.core import processes
from facever.core.processes import (
    all_max,
    all_sum,
    from_main,
    gather,
    gather_objects,
    gather_rows,
    is_main,
    rank,
    started,
    world,
)
from facever.errors import ConfigError
from tests.forked import Python
from tests.processes import Answers, in_processes, process_environment

# ---------------------------------------------------------------------- what is exchanged


def rows_of(process: int) -> Tensor:
    """Return 2, 0 or 3 rows."""
    generator = torch.Generator().manual_seed(process)
    return torch.randn((2, 0, 3)[process], 4, generator=generator, dtype=torch.float64)


def loss_of(rows: Tensor) -> Tensor:
    return (rows @ rows.T).sin().sum() + rows.cos().sum()


def case_who() -> tuple[int, int, bool]:
    return rank(), world(), is_main()


def case_reduced() -> tuple[Tensor, Tensor]:
    ours = torch.tensor([1.0 + rank(), -1.0 - rank()])
    total, most = ours.clone(), ours.clone()
    assert all_sum(total) is total
    assert all_max(most) is most
    return total, most


def case_gathered() -> tuple[Tensor, Tensor, bool]:
    rows = rows_of(rank()).requires_grad_()
    plain = gather(rows)
    return plain, gather(torch.full((rank(),), rank())), plain.requires_grad


def case_gradient() -> tuple[Tensor, Tensor]:
    rows = rows_of(rank()).requires_grad_()
    every = gather_rows(rows)
    loss_of(every).backward()
    assert rows.grad is not None
    return every.detach(), rows.grad


def case_objects() -> tuple[list[str], str]:
    return gather_objects(f"from {rank()}"), from_main(f"from {rank()}")


def case_fails_on_one() -> int:
    if rank() == 1:
        raise ValueError("not here")
    return rank()


@pytest.fixture(scope="module")
def three() -> Answers:
    return in_processes(
        3,
        {
            "who": case_who,
            "reduced": case_reduced,
            "gathered": case_gathered,
            "gradient": case_gradient,
            "objects": case_objects,
            "fails": case_fails_on_one,
        },
    )


def test_each_knows_itself(three: Answers) -> None:
    assert three("who") == [(0, 3, True), (1, 3, False), (2, 3, False)]


def test_sums_and_maxima_are_those_of_all(three: Answers) -> None:
    for total, most in three("reduced"):
        assert total.tolist() == [6.0, -6.0]
        assert most.tolist() == [3.0, -1.0]


def test_rows_come_in_the_order_of_the_processes(three: Answers) -> None:
    wanted = torch.cat([rows_of(process) for process in range(3)])
    for plain, labels, has_gradient in three("gathered"):
        assert torch.equal(plain, wanted)
        assert labels.tolist() == [1, 2, 2]
        assert not has_gradient


def test_averaged_gradients_are_those_of_one_process(three: Answers) -> None:
    every = torch.cat([rows_of(process) for process in range(3)]).requires_grad_()
    loss_of(every).backward()
    assert every.grad is not None
    parts = every.grad.split([2, 0, 3])
    for (rows, gradient), wanted in zip(three("gradient"), parts, strict=True):
        assert torch.equal(rows, every.detach())
        torch.testing.assert_close(gradient / 3, wanted, rtol=1e-12, atol=0)


def test_objects(three: Answers) -> None:
    assert three("objects") == [(["from 0", "from 1", "from 2"], "from 0")] * 3


def test_the_helper_tells_which_process_failed(three: Answers) -> None:
    with pytest.raises(AssertionError, match=r"fails failed on process 1:\n(?s:.)*not here"):
        three("fails")


def test_one_process_exchanges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    rows = torch.ones(2, 3)
    with started():
        assert (world(), rank(), is_main()) == (1, 0, True)
        assert all_sum(rows) is all_max(rows) is gather_rows(rows) is rows
        assert torch.equal(gather(rows), rows)
        assert gather_objects("a") == ["a"]
        assert from_main("a") == "a"


# ---------------------------------------------------------------------- how all end

PROGRAM = """
import os, signal, sys, time
import torch, torch.distributed as dist
from facever.cli.main import main
from facever.errors import DataError
from facever.core.processes import rank, started
import facever.cli.main as cli

def app(standalone_mode):
    {before}
    with started("cpu"):
        {body}
    {after}

cli.app = app
main()
"""


OF_TORCH = re.compile(
    r"^\[W[^\n]* \[c10d\] [^\n]*\n(?:Exception raised from [^\n]*\n)?(?:frame #[^\n]*\n)*\n?",
    re.MULTILINE,
)


def ended(
    body: str,
    before: str = "pass",
    after: str = "pass",
    count: int = 2,
) -> list[tuple[int, str]]:
    """Run lines in each process; return exit status and standard error of each, without what torch
    says where the other one's end was noticed first.
    """
    environment = process_environment(count)
    program = PROGRAM.format(
        body=body.replace("\n", "\n        "), before=before, after=after.replace("\n", "\n    ")
    )
    running = [
        Python(
            ["-c", program],
            env={**environment, "RANK": str(number), "LOCAL_RANK": str(number)},
        )
        for number in range(count)
    ]
    said = [OF_TORCH.sub("", process.communicate(timeout=60)[1]) for process in running]
    return [(process.returncode, text) for process, text in zip(running, said, strict=True)]


@pytest.mark.slow
def test_an_error_of_one_ends_all_and_is_said_once() -> None:
    body = "if rank(): raise DataError('no such image')\ndist.barrier()"
    assert ended(body) == [(2, ""), (2, "error: no such image\n")]


@pytest.mark.slow
def test_an_error_of_all_is_said_once() -> None:
    outcome = ended("raise DataError('no such image')")
    assert [status for status, _ in outcome] == [2, 2]
    assert sorted(text for _, text in outcome) == ["", "error: no such image\n"]


@pytest.mark.slow
def test_an_error_of_all_is_said_once_also_before_they_know_one_another() -> None:
    outcome = ended("pass", before="raise DataError('no such image')")
    assert [status for status, _ in outcome] == [2, 2]
    assert sorted(text for _, text in outcome) == ["", "error: no such image\n"]


@pytest.mark.slow
def test_the_group_is_never_freed_and_the_interpreter_not_shut_down() -> None:
    """Or a thread of gloo's that wants the interpreter's lock could abort or hang the process."""
    outcome = ended(
        "global kept\nimport atexit, weakref\nkept = weakref.ref(dist.group.WORLD)",
        after="import gc\ngc.collect()\nprint(kept() is None, file=sys.stderr)\n"
        "atexit.register(print, 'shut down', file=sys.stderr)",
    )
    assert outcome == [(0, "False\n"), (0, "False\n")]


@pytest.mark.slow
def test_what_the_disk_says_to_all_is_said_once() -> None:
    outcome = ended("raise OSError(28, 'No space left on device', 'here')")
    assert [status for status, _ in outcome] == [2, 2]
    said = ["", "error: No space left on device (here)\n"]
    assert sorted(text for _, text in outcome) == said


@pytest.mark.slow
def test_one_that_waits_without_listening_is_ended_too() -> None:
    """As one waits in a NCCL kernel."""
    body = "if rank(): raise DataError('no such image')\ntime.sleep(1000)"
    sooner = "from facever.core import processes; processes.GRACE_SECONDS = 1.0"
    assert ended(body, before=sooner) == [(2, ""), (2, "error: no such image\n")]


@pytest.mark.slow
def test_one_that_is_killed_ends_all() -> None:
    body = "if rank() == 1: os.kill(os.getpid(), signal.SIGKILL)\ndist.barrier()"
    first, killed = ended(body)
    assert killed[0] == -signal.SIGKILL
    assert first == (
        2,
        "error: another process of this run has ended: it was killed or ran out of memory\n",
    )


def test_no_gpu_for_each_process_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError) as error:
        processes._backend("auto")
    assert str(error.value) == (
        "process 2 of this machine has no GPU of its own (2 GPUs): start at most 2 processes a "
        "machine, or use the device cpu"
    )
    with pytest.raises(ConfigError, match=r"^device 'cuda:1' is one GPU for several processes: "):
        processes._backend("cuda:1")
    assert processes._backend("cpu") == "gloo"


def test_torchrun_is_told_the_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
    processes._tell_torchrun("no such image")
    assert '"message": "no such image"' in path.read_text()
    assert math.isfinite(path.stat().st_mtime)
