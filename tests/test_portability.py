"""What macOS and Windows lack or do differently, simulated here.

No fork, no /proc, no CPU affinity, no file locks; names without case; open files are not replaced.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facever import EmbeddingSet, Gallery
from facever.cli import main as cli
from facever.core.files import atomic_folder, atomic_path
from facever.data import machine
from facever.data.synthesize import synthesize
from tests import forked

WITHOUT = """
import sys
sys.modules["fcntl"] = None
sys.argv = ["facever", *{words!r}]
from facever.cli.main import main
main()
"""

TRAINED = """
import multiprocessing
import signal
import sys

import torch

if hasattr(signal, "sigwaitinfo"):
    del signal.sigwaitinfo
torch.multiprocessing.set_sharing_strategy("file_system")

import facever

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn", force=True)
    root, out, workers = sys.argv[1:]
    facever.train(
        "folder", data=root, out=out, epochs=2, workers=int(workers), tensorboard=False,
        device="cpu", batch={"size": 8}, model={"backbone": "test_resnet", "embedding_size": 8},
    )
"""
"""A training as on macOS. Spawned workers import this program again, so they lack the same."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs without a worker process and with one."""
    folder = tmp_path_factory.mktemp("spawned")
    synthesize(folder / "people", 20, 4, size=32)
    script = folder / "train.py"
    script.write_text(TRAINED)
    project = str(Path(__file__).parents[1])
    words = [folder / "people", folder / "0", "0"]
    done = forked.run(["-c", TRAINED, *words], cwd=folder)
    assert done.returncode == 0, done.stderr
    spawned = subprocess.run(
        [sys.executable, script, folder / "people", folder / "1", "1"],
        env={**os.environ, "PYTHONPATH": project},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert spawned.returncode == 0, spawned.stderr
    return [folder / "0", folder / "1"]


@pytest.mark.slow
def test_a_training_with_spawned_workers_is_the_same(runs: list[Path]) -> None:
    one, other = ((run / "model.safetensors").read_bytes() for run in runs)
    assert one == other


@pytest.mark.slow
def test_names_of_files_are_names_on_every_system(runs: list[Path], tmp_path: Path) -> None:
    """Runs, embedding sets, galleries and exports: no name of a device, and none that differs from
    another one by case only."""
    rows = np.random.default_rng(0).normal(size=(4, 8))
    faces = EmbeddingSet.from_arrays(rows, ["Ada", "ada", "nul", "a/b"], fingerprint="names")
    faces.save(tmp_path / "embeddings")
    with Gallery.create(tmp_path / "gallery", fingerprint="names", dimension=8) as gallery:
        gallery.enroll(faces)
        gallery.export(tmp_path / "export")
        assert [one.person for one in gallery.people()] == ["Ada", "a/b", "ada", "nul"]
    shutil.copytree(runs[1], tmp_path / "run")
    paths = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert len(paths) > 20
    assert len({path.lower() for path in paths}) == len(paths)
    device = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
    for path in paths:
        for name in path.split("/"):
            assert re.fullmatch(r"[\w.\-]*[\w\-]", name), path
            assert not device.match(name), path


def _refuse(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    """Let a path be neither replaced nor renamed, as in Windows while a program has it open."""
    replace = Path.replace

    def refused(self: Path, onto: str | Path) -> Path:
        if target in (self, Path(onto)) and target.exists():
            raise PermissionError(errno.EACCES, "The file is used by another process", str(self))
        return replace(self, onto)

    monkeypatch.setattr(Path, "replace", refused)


def test_a_file_that_cannot_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write, path in ((atomic_path, tmp_path / "file"), (atomic_folder, tmp_path / "folder")):
        for text in ("old", "new"):
            if text == "new":
                _refuse(monkeypatch, path)
                with pytest.raises(PermissionError), write(path) as made:
                    (made / "inside" if made.is_dir() else made).write_text(text)
            else:
                with write(path) as made:
                    (made / "inside" if made.is_dir() else made).write_text(text)
        assert (path / "inside" if path.is_dir() else path).read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


def test_a_command_says_which_file_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 8))
    faces = EmbeddingSet.from_arrays(rows, np.arange(40) // 4, fingerprint="replace")
    faces.save(tmp_path / "faces")
    point = tmp_path / "point.json"
    point.write_text("old")
    _refuse(monkeypatch, point)
    words = ["facever", "evaluate", "verification", str(tmp_path / "faces"), "--far", "0.1"]
    more = ["--at-far", "0.1", "--save-operating-point", str(point)]
    monkeypatch.setattr("sys.argv", [*words, *more])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    [line] = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error")]
    assert "used by another process" in line
    assert "point.json" in line
    assert point.read_text() == "old"


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
