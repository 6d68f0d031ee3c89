"""What macOS and Windows lack, taken away here: no fork, no /proc, no file locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facever.data import machine
from facever.data.synthesize import synthesize

WITHOUT = """
import sys
sys.modules["fcntl"] = None
sys.argv = ["facever", *{words!r}]
from facever.cli.main import main
main()
"""

SPAWNED = """
import multiprocessing
import sys

import facever

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    root, out, workers = sys.argv[1:]
    facever.train(
        "folder", data=root, out=out, epochs=1, workers=int(workers), tensorboard=False,
        device="cpu", batch={"size": 8}, model={"backbone": "test_resnet", "embedding_size": 8},
    )
"""


@pytest.mark.parametrize("words", [["gallery", "info", "GALLERY"], ["recipes"]])
def test_without_file_locks_a_command_says_where_it_runs(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(words=words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert "Windows" in line
    assert "WSL" in line


def test_help_and_version_need_no_locks(tmp_path: Path) -> None:
    for words in (["--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT.format(words=words)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_machine_without_proc_and_shared_memory_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_SHARED", "_INFORMATION", "_CPUS", "_CGROUP"):
        monkeypatch.setattr(machine, name, tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    machine.instruction_sets.cache_clear()
    try:
        assert machine.free_shared() is None
        assert machine.free_memory(shared=True, cgroup=tmp_path) > 0
        assert machine.usable_cpus(tmp_path) == os.cpu_count()
        assert machine.instruction_sets() <= {"neon"}
    finally:
        machine.instruction_sets.cache_clear()


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_peak_memory_is_in_bytes(monkeypatch, platform: str, unit: int) -> None:
    import resource

    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    monkeypatch.setattr(sys, "platform", platform)
    assert machine.peak_memory() == pytest.approx(kept * unit, rel=0.1)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory() is None


@pytest.mark.slow
def test_a_training_with_spawned_workers_is_the_same(tmp_path: Path) -> None:
    """macOS and Windows start workers by spawn: everything that a worker needs is pickled."""
    synthesize(tmp_path / "people", 20, 4, size=32)
    script = tmp_path / "train.py"
    script.write_text(SPAWNED)
    for workers in (0, 1):
        words = [
            sys.executable,
            str(script),
            str(tmp_path / "people"),
            str(tmp_path / f"{workers}"),
        ]
        done = subprocess.run([*words, str(workers)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / f"{k}" / "model.safetensors").read_bytes() for k in (0, 1))
    assert one == other
