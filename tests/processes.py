"""Several processes for a test: started once per world size, they run all its cases.

A test file gives its cases together:

    def case_sum() -> float:                       # runs on every process
        return float(all_sum(torch.tensor(1.0)))

    @pytest.fixture(scope="module")
    def two() -> Answers:
        return in_processes(2, {"sum": case_sum})

    def test_sum(two: Answers) -> None:
        assert two("sum") == [2.0, 2.0]            # one answer of each process, by rank

A case is a function of the test's module (found there by name), with arguments that can be pickled
where `functools.partial` gives some. What it returns can be pickled too; tensors come back as they
are. A case that fails on a process fails the tests that ask for it, with its traceback; the others
go on. A case that leaves a process waiting for another ends all after `seconds`.
"""

import os
import pickle
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.forked import Python

ROOT = Path(__file__).parent.parent


class Answers:
    """What the cases returned, by name: a list with the answer of each process."""

    def __init__(self, by_rank: list[dict[str, tuple[bool, Any]]], told: str) -> None:
        self._by_rank, self._told = by_rank, told

    def __call__(self, name: str) -> list[Any]:
        found = [answers.get(name) for answers in self._by_rank]
        for number, answer in enumerate(found):
            assert answer is not None, f"{name}: no answer of process {number}\n{self._told}"
            assert answer[0], f"{name} failed on process {number}:\n{answer[1]}"
        return [answer[1] for answer in found if answer is not None]


def in_processes(
    world: int, cases: Mapping[str, Callable[[], Any]], seconds: float = 240.0
) -> Answers:
    """Run cases one after another on `world` gloo processes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cases").write_bytes(pickle.dumps(dict(cases)))
        environment = process_environment(world)
        processes = [
            Python(
                ["-m", "tests.processes", folder],
                cwd=ROOT,
                env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(world)
        ]
        told = ""
        for process in processes:
            try:
                told += "".join(process.communicate(seconds))
            except TimeoutError as error:
                told += str(error)
        answers = []
        for rank in range(world):
            path = Path(folder, str(rank))
            answers.append(pickle.loads(path.read_bytes()) if path.is_file() else {})
        return Answers(answers, told)


def process_environment(world: int) -> dict[str, str]:
    """Return what torchrun would set for `world` processes on this machine, all but the rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return {**os.environ, **ours}


def _main(folder: Path) -> None:
    import torch

    from facever.core.processes import rank, started

    torch.set_num_threads(1)
    answers: dict[str, tuple[bool, Any]] = {}
    with started("cpu"):
        path = folder / str(rank())
        for name, case in pickle.loads((folder / "cases").read_bytes()).items():
            try:
                answers[name] = (True, case())
            except BaseException:
                answers[name] = (False, traceback.format_exc())
            written = pickle.dumps(answers)  # after each: a later one may never come back
            path.with_suffix(".new").write_bytes(written)
            path.with_suffix(".new").rename(path)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
