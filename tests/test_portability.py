"""What macOS and Windows lack, taken away here: /proc, CPU affinity, file locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facever.data import machine

WITHOUT = """
import sys
sys.modules["fcntl"] = None
sys.argv = ["facever", *{words!r}]
from facever.cli.main import main
main()
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
