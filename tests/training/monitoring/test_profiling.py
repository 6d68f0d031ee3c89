import json
from types import SimpleNamespace

import pytest
import torch

from facever.training.monitoring.profiling import RECORDED, SHOWN, SKIPPED, Profile, summary
from facever.training.trainer import Trainer


@pytest.mark.parametrize(("size", "recorded"), [(2, RECORDED), (8, 4)])
def test_a_profile_of_a_training(make_config, tmp_path, capsys, size, recorded):
    config = make_config(epochs=3, batch={"size": size}, log_every=1)
    run = Trainer.start(config, tmp_path / "run").fit(profile=True)
    told, _, table = (run.profile / "summary.txt").read_text().partition("\n\n")
    first, *lines = told.splitlines()
    assert first.startswith(f"{recorded} updates took ")
    shares = [float(line.partition(" %")[0]) for line in lines]
    assert len(shares) == SHOWN
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100 + SHOWN / 2  # each is rounded
    assert "aten::convolution_backward" in told
    assert "aten::convolution_backward" in table
    assert "# of Calls" in table
    assert told in capsys.readouterr().err
    events = json.loads((run.profile / "trace.json").read_text())["traceEvents"]
    backward = [event for event in events if event.get("name") == "aten::convolution_backward"]
    forward = [event for event in events if event.get("name") == "aten::convolution"]
    assert len(backward) == len(forward) > 0  # whole updates, and no evaluation between them
    assert len(backward) % recorded == 0
    assert run.model.is_file()


def test_an_epoch_with_too_few_updates_left_is_not_begun(tmp_path, monkeypatch):
    told: list[str] = []
    profile = Profile(tmp_path, torch.device("cpu"))
    monkeypatch.setattr(profile._profiler, "start", lambda: told.append("begin"))
    monkeypatch.setattr(profile, "_finish", lambda: told.append("end"))
    for _ in range(2):
        told.append("epoch")
        profile.epoch(12, another=True)
        for left in reversed(range(12)):
            told.append("update")
            profile.updated(left)
    first, second = ["epoch", *["update"] * 12], ["epoch", "begin", *["update"] * RECORDED, "end"]
    assert told[: len(first + second)] == first + second


def test_the_profile_changes_nothing(make_config, tmp_path, figures):
    plain = Trainer.start(make_config(), tmp_path / "plain").fit()
    watched = Trainer.start(make_config(), tmp_path / "watched").fit(profile=True)
    assert figures(plain) == figures(watched)
    assert plain.model.read_bytes() == watched.model.read_bytes()


@pytest.mark.parametrize(("updates", "there"), [(SKIPPED, False), (SKIPPED + 2, True)])
def test_a_training_that_ends_early(make_config, tmp_path, capsys, updates, there):
    config = make_config(
        epochs=1,
        batch={"size": 35 // updates},
    )
    trainer = Trainer.start(config, tmp_path / "run")
    assert len(trainer._batches) == updates
    run = trainer.fit(profile=True)
    assert (run.profile / "summary.txt").is_file() == there
    told = capsys.readouterr().err
    assert ("2 updates took" in told) == there
    assert ("warning: no profile: it records from update 4 on" in told) != there


def average(name: str, cpu: float, gpu: float, calls: int, kind: str = "CPU") -> SimpleNamespace:
    """Return what torch's profiler tells of an operator, its times in microseconds."""
    return SimpleNamespace(
        key=name,
        count=calls,
        self_cpu_time_total=cpu,
        self_device_time_total=gpu,
        device_type=SimpleNamespace(name=kind),
    )


def test_the_summary_names_what_took_most() -> None:
    operators = [
        average("aten::mm", 1e6, 4e6, 10),
        average("aten::add_", 2e4, 2e4, 1),
        average("aten::convolution_backward", 4e6, 1e6, 20),
        average("sgemm_128x64", 0, 4e6, 10, "CUDA"),  # the kernel of aten::mm
        *(average(f"aten::{name}", 5e5, 0, 10) for name in "abcd"),
    ]
    assert summary(operators, 10.0, 10).splitlines()[:3] == [
        "10 updates took 10.00 s (1000 ms each); most time went into:",
        "  40 %, 400.0 ms an update: aten::convolution_backward (2 calls)",
        "  10 %, 100.0 ms an update: aten::mm (1 calls)",
    ]
    assert len(summary(operators, 10.0, 10).splitlines()) == 1 + SHOWN
    gpu = summary(operators, 10.0, 10, on_gpu=True).splitlines()
    assert gpu[0].endswith("most GPU time went into:")
    assert gpu[1] == "  40 %, 400.0 ms an update: aten::mm (1 calls)"
