import json

import pytest
import torch

from facever.training.monitoring.profiling import RECORDED, SKIPPED, Profile, in_words, summary
from facever.training.trainer import Trainer


@pytest.mark.parametrize(("size", "recorded"), [(2, RECORDED), (8, 4)])
def test_a_profile_of_a_training(make_config, tmp_path, capsys, size, recorded):
    config = make_config(epochs=3, batch={"size": size}, log_every=1)
    run = Trainer.start(config, tmp_path / "run").fit(profile=True)
    told = (run.profile / "summary.txt").read_text()
    lines = told.splitlines()
    assert lines[0].startswith(f"{recorded} updates took ")
    assert [line[:2] for line in lines[1:6]] == ["1.", "2.", "3.", "4.", "5."]
    assert "convolutions" in told
    shares = [float(line.partition(": ")[2].partition(" %")[0]) for line in lines[1:]]
    assert shares[:5] == sorted(shares[:5], reverse=True)
    assert 95 <= sum(shares) <= 105
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


def test_the_summary_adds_up_what_is_the_same_thing():
    costs = {
        "aten::mm": (1.0, 10),
        "aten::addmm": (2.0, 30),
        "aten::convolution_backward": (4.0, 20),
        "aten::mkldnn_convolution": (0.5, 20),
        "aten::strange": (0.25, 1),
        "Optimizer.step#AdamW.step": (0.2, 10),
        "aten::relu_": (0.01, 1),
    }
    assert summary(costs, 10.0, 10).splitlines() == [
        "10 updates took 10.00 s (1000 ms each); most of it:",
        "1. backward pass of convolutions: 40 %, 400.0 ms an update "
        "(aten::convolution_backward: 2 calls)",
        "2. matrix products: 30 %, 300.0 ms an update (aten::addmm: 3 calls)",
        "3. convolutions: 5 %, 50.0 ms an update (aten::mkldnn_convolution: 2 calls)",
        "4. aten::strange: 2 %, 25.0 ms an update (aten::strange: 0 calls)",
        "5. optimizer: 2 %, 20.0 ms an update (Optimizer.step#AdamW.step: 1 calls)",
        "   everything else: 20 %",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aten::native_batch_norm_backward", "backward pass of BatchNorm"),
        ("aten::native_batch_norm", "BatchNorm"),
        ("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", "waiting for images (or"),
        ("aten::_fused_adamw_", "optimizer"),
        ("gloo:all_reduce", "exchange between processes"),
        ("aten::add_", "sums in place"),
        ("aten::cumsum_thing", "sums over elements"),
        ("## Call CompiledFxGraph fdmmdv ##", "kernels that torch.compile made"),
        ("unheard of", "unheard of"),
    ],
)
def test_words(name, words):
    assert in_words(name).startswith(words)
