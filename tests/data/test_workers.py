"""Worker processes: how many fit into shared memory, and what happens when one is lost."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from facever.data import loading, machine, workers
from facever.data.loading import plain_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.workers import AHEAD, Plan, plan, worker_count
from facever.errors import ConfigError, DataError

SIZE, BATCH = (112, 112), 128
BYTES = BATCH * 3 * 112 * 112


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(24):
        cv2.imwrite(str(root / f"{number}.png"), random.integers(0, 256, (9, 9, 3), np.uint8))
    frame = pd.DataFrame({"path": [f"{number}.png" for number in range(24)], "identity": "a"})
    return Manifest.from_frame(frame, root, "small")


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def report(monkeypatch: pytest.MonkeyPatch, free: int, folder: Path) -> None:
    """Let /dev/shm be said to have so many bytes free."""
    monkeypatch.setattr(machine, "_SHARED", folder)
    said = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: said)


def test_worker_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_count(0, to_gpu=True) == 0
    assert worker_count(3, to_gpu=False) == 3
    monkeypatch.setattr(workers, "usable_cpus", lambda: 12)
    assert worker_count("auto", to_gpu=False) == 3
    assert worker_count("auto", to_gpu=True) == 11
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "12")
    assert worker_count("auto", to_gpu=True) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert worker_count("auto", to_gpu=False) == 0


@pytest.mark.parametrize("number", [-1, 65, 1_000_000_000])
def test_no_more_workers_than_the_machine_can_run(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cpus", lambda: 12)
    assert worker_count(64, to_gpu=False) == 64
    with pytest.raises(ConfigError, match=f"^{number} worker processes .*0 to 64"):
        worker_count(number, to_gpu=False)
    monkeypatch.setattr(machine, "usable_cpus", lambda: 100)
    assert worker_count(400, to_gpu=False) == 400


@pytest.mark.parametrize("wanted", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("megabytes", [1, 16, 64, 128, 100_000])
@pytest.mark.parametrize("processes", [1, 4])
def test_what_workers_load_fits_into_shared_memory(
    wanted: int,
    megabytes: int,
    processes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    free = megabytes * 2**20
    report(monkeypatch, free, tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    planned = plan(wanted, BATCH, SIZE, held=3)
    assert 0 <= planned.workers <= wanted
    assert 1 <= planned.ahead <= AHEAD
    if planned.workers:
        assert processes * (planned.workers * planned.ahead + 3) * BYTES <= free
    said = capfd.readouterr().err.splitlines()
    if planned == Plan(wanted, AHEAD):
        assert said == []
    else:
        assert len(said) == 1
        assert "shared memory" in said[0]
        assert "--shm-size" in said[0]
        more = planned._replace(ahead=planned.ahead + 1)  # nothing better would fit
        if planned.workers < wanted:
            assert planned.ahead == 1
            more = planned._replace(workers=planned.workers + 1)
        assert processes * (more.workers * more.ahead + 3) * BYTES > 0.75 * free


def test_docker_s_64_megabytes_still_have_four_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, 64 * 2**20, tmp_path)
    assert plan(4, BATCH, SIZE, held=3) == (4, 2)
    assert plan(4, BATCH, SIZE, held=9) == (2, 1)
    assert plan(0, BATCH, SIZE, held=3).workers == 0
    monkeypatch.setattr(machine, "_SHARED", tmp_path / "none")  # macOS
    assert plan(4, BATCH, SIZE, held=3) == (4, AHEAD)


def test_batches_are_loaded_by_the_plan(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [
        batch.images for batch in plain_batches(manifest, Preprocessing(size=8), batch_size=5)
    ]
    asked: dict[str, Any] = {}
    original = loading.DataLoader

    def noting(*arguments: Any, **options: Any) -> Any:
        asked.update(options)
        return original(*arguments, **options)

    monkeypatch.setattr(loading, "DataLoader", noting)
    report(monkeypatch, 2**20, tmp_path)
    monkeypatch.setattr(workers, "_PAGE", 40_000)
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=5, workers=2)
    assert (asked["num_workers"], asked["prefetch_factor"]) == (2, 1)
    for one, other in zip(batches, images, strict=True):
        assert torch.equal(one.images, other)
    batches.close()


def test_a_batch_larger_than_the_memory_is_refused(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = 24 * 3 * 32 * 48  # bytes of all images: no batch is larger
    monkeypatch.setattr(machine, "free_memory", lambda shared: whole)
    plain_batches(manifest, Preprocessing(size=(32, 48)), batch_size=10**9)
    monkeypatch.setattr(machine, "free_memory", lambda shared: whole - 1)
    with pytest.raises(ConfigError, match=r"a batch of 24 images of 32 x 48 pixels needs"):
        plain_batches(manifest, Preprocessing(size=(32, 48)), batch_size=10**9)


def test_a_killed_worker_ends_the_loading(manifest: Manifest) -> None:
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=1, workers=1)
    loaded = iter(batches)
    next(loaded)
    assert batches._loader is not None
    [worker] = batches._loader._iterator._workers  # type: ignore[union-attr]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(DataError, match=r"worker process that loads images ended.*fewer workers"):
        list(loaded)
    batches.close()


def test_a_worker_that_ends_while_it_hands_over_a_batch_ends_the_loading(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any) -> None:
        raise EOFError  # what a connection raises whose other end was closed

    monkeypatch.setattr("multiprocessing.connection.answer_challenge", closed)
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=1, workers=1)
    with pytest.raises(DataError, match=r"worker process that loads images ended.*fewer workers"):
        list(batches)
    batches.close()


def test_a_batch_that_shared_memory_cannot_take_is_an_error(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: torch.Tensor) -> None:
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=5, workers=1)
    with pytest.raises(DataError, match=r"No space left on device.*--shm-size"):
        list(batches)
    batches.close()
    assert len(list(plain_batches(manifest, Preprocessing(size=8), batch_size=5))) == 5  # no worker


def test_a_batch_that_cannot_be_sent_is_an_error(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "share", lambda _: lambda: None)  # a lambda cannot be pickled
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=5, workers=1)
    with pytest.raises(DataError, match="worker process that loads images ended"):
        list(batches)
    batches.close()


def test_jpegs_without_their_end_are_counted_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = np.full((16, 16, 3), 90, np.uint8)
    for number in range(6):
        data = bytes(cv2.imencode(".jpg", image)[1])
        (tmp_path / f"{number}.jpg").write_bytes(data if number < 2 else data[:-2])
    paths = [f"{number}.jpg" for number in range(6)]
    manifest = Manifest.from_frame(
        pd.DataFrame({"path": paths, "identity": "a"}), tmp_path, "unended"
    )
    batches = plain_batches(manifest, Preprocessing(size=8), batch_size=2, workers=1)
    for _ in range(2):
        assert sum(len(batch.labels) for batch in batches) == 6
    batches.close()
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1
    assert "pixels: 4," in said[0]
    assert "2.jpg" in said[0]
