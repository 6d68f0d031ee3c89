"""A whole training: it learns, it stops and goes on bit for bit, it says what is wrong."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from facever.core.run_folder import read_metrics
from facever.data.loading import Batch
from facever.errors import ConfigError, DataError, FaceverError, TrainingError
from facever.models.saving import load_embedder
from facever.training.interruption import Interrupted
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.train import train
from facever.training.trainer import Trainer


def test_a_run_is_whole(make_config, people: Path, tmp_path: Path, assert_same) -> None:
    run = train(make_config(epochs=6), tmp_path / "run")
    for path in (run.config, run.model, run.metrics, run.batch_picture, run.environment, run.last):
        assert path.is_file(), path
    lines = read_metrics(run.metrics)
    training = [line for line in lines if line["kind"] == "train"]
    development = [line for line in lines if line["kind"] == "development"]
    assert training[-1]["loss"] < training[0]["loss"]
    assert len(development) == 2 * 6  # raw and averaged weights, each epoch
    assert max(line["auc"] for line in development) > 0.9
    assert json.loads(run.environment.read_text())["versions"]["torch"] == torch.__version__

    people_of = pd.read_parquet(run.identities)
    assert set(people_of[people_of["use"] == "train"]["identity"]).isdisjoint(
        people_of[people_of["use"] == "development"]["identity"]
    )
    assert len(people_of) == 10
    assert cv2.imread(str(run.batch_picture)).ndim == 3

    embedder, card = load_embedder(run.path)
    assert card.metric == "cosine"
    best = load_checkpoint(run.best)["embedder"]
    assert_same(dict(embedder.state_dict()), dict(best))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resume_is_bit_for_bit(
    make_config, tmp_path: Path, accumulation: int, figures, assert_same, interrupt_before
) -> None:
    config = make_config(accumulation=accumulation)
    whole = train(config, tmp_path / "whole")

    trainer = Trainer.start(config, tmp_path / "parts")
    for stop in (3, 4, 7) if accumulation == 1 else (1, 3):  # in the middle of epochs, in a row
        interrupt_before(trainer, stop)
        torch.manual_seed(99)  # what else this process draws must not matter
        with pytest.raises(Interrupted, match=r"stopped by SIGTERM; continue with"):
            trainer.fit()
        assert trainer.position.update == stop + 1
        trainer = Trainer.resume(tmp_path / "parts")
    parts = trainer.fit()

    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert figures(parts) == figures(whole)
    one, other = load_checkpoint(parts.last), load_checkpoint(whole.last)
    assert one.pop("seconds") > 0
    assert other.pop("seconds") > 0
    assert_same(one, other)


def test_the_same_seed_gives_the_same_model_for_any_number_of_workers(
    make_config, tmp_path: Path
) -> None:
    one = train(make_config(epochs=1), tmp_path / "a")
    two = train(make_config(epochs=1, workers=2), tmp_path / "b")
    three = train(make_config(epochs=1, seed=1), tmp_path / "c")
    assert one.model.read_bytes() == two.model.read_bytes()
    assert one.model.read_bytes() != three.model.read_bytes()


def test_accumulated_batches_are_one_large_batch(make_config, tmp_path: Path) -> None:
    """Without BatchNorm and dropout, two batches of 8 give the gradients of one of 16."""
    plain = {"backbone": "test_vit", "embedding_size": 64, "neck": "none"}
    model = {**plain, "preprocessing": {"size": [160, 160]}}
    states = []
    for size, accumulation in ((16, 1), (8, 2)):
        config = make_config(
            model=model,
            augmentation=None,
            batch={"size": size},
            accumulation=accumulation,
            optimizer={"name": "sgd", "lr": 0.1},
            ema_decay=None,
        )
        trainer = Trainer.start(config, tmp_path / f"run-{size}")
        batches = next(iter(trainer._groups()))
        assert sum(len(batch.labels) for batch in batches) == 16
        trainer.step.update(batches, 0)
        states.append(dict(trainer.embedder.state_dict()))
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-6)


def test_bf16_and_pk_batches_train(make_config, tmp_path: Path) -> None:
    run = train(
        make_config(precision="bf16", batch={"size": 8, "images_per_identity": 2}),
        tmp_path / "run",
    )
    assert read_metrics(run.metrics)[-1]["auc"] > 0.5


def test_ctrl_c_saves(make_config, tmp_path: Path, interrupt_before) -> None:
    trainer = Trainer.start(make_config(), tmp_path / "run")
    before = signal.getsignal(signal.SIGINT)
    interrupt_before(trainer, 1, by=signal.SIGINT)
    with pytest.raises(Interrupted, match="SIGINT") as stopped:
        trainer.fit()
    assert stopped.value.exit_status == 130
    assert load_checkpoint(trainer.run.last)["position"]["update"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_patience_stops_and_says_why(make_config, tmp_path: Path, capsys) -> None:
    config = make_config(epochs=50, patience=2, optimizer={"lr": 1e-9}, ema_decay=None)
    trainer = Trainer.start(config, tmp_path / "run")
    trainer.fit()
    epoch = trainer.position.epoch
    assert epoch < 10
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "stopped early" in line]
    best = load_checkpoint(trainer.run.best)["epoch"]
    for part in (f"epoch {epoch} of 50", "auc in 2 evaluations", "patience 2", f"epoch {best}"):
        assert part in said
    train(make_config(epochs=1), tmp_path / "whole")
    assert "stopped early" not in capsys.readouterr().err


def test_a_second_training_of_one_run_is_refused(
    make_config, tmp_path: Path, interrupt_before, figures
) -> None:
    config = make_config()
    whole = train(config, tmp_path / "whole")
    first = Trainer.start(config, tmp_path / "run")
    interrupt_before(first, 3)
    with pytest.raises(Interrupted):
        first.fit()
    one, two = (Trainer.resume(tmp_path / "run") for _ in range(2))
    update, refused = one.step.update, []

    def watched(batches: Sequence[Batch], number: int, *rest: Any) -> dict[str, torch.Tensor]:
        for begin in (two.fit, lambda: Trainer.resume(tmp_path / "run")):
            with pytest.raises(TrainingError, match="is being trained by another process"):
                begin()
            refused.append(number)
        return update(batches, number, *rest)

    one.step.update = watched  # type: ignore[method-assign]
    run = one.fit()
    assert refused
    with pytest.raises(TrainingError, match=r"has trained .*resume again"):
        two.fit()
    assert figures(run) == figures(whole)
    assert run.model.read_bytes() == whole.model.read_bytes()
    assert not list(run.path.glob(".*"))


def test_what_a_killed_training_was_writing_is_removed(
    make_config, tmp_path: Path, interrupt_before
) -> None:
    trainer = Trainer.start(make_config(epochs=1), tmp_path / "run")
    run = trainer.run
    interrupt_before(trainer, 0)
    with pytest.raises(Interrupted):
        trainer.fit()
    hidden = run.checkpoints / ".last.pt.facever-1-abcd1234.tmp"
    hidden.mkdir()
    (hidden / "last.pt").write_bytes(b"half")
    former = run.checkpoints / ".last.abcd1234.tmp.pt"  # as earlier versions called it
    former.write_bytes(b"half")
    os.utime(former, (0, 0))
    Trainer.resume(run.path).fit()
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["best.pt", "last.pt"]


def test_a_full_disk_names_the_file(make_config, tmp_path: Path, monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    config = make_config(epochs=1)
    for number, (place, name) in enumerate(
        (("torch.save", "last.pt"), ("os.fsync", "config.yaml"))
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match=r"No space left on device") as error:
                train(config, tmp_path / f"run-{number}")
        assert Path(error.value.filename).name == name
    trainer = Trainer.start(config, tmp_path / "run")
    trainer.run.metrics.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left|Not a regular") as error:
        trainer.fit()
    assert error.value.filename == str(trainer.run.metrics)


def test_pretrained_weights_are_said_and_not_needed_again(
    make_config, tmp_path: Path, interrupt_before, capsys
) -> None:
    first = train(make_config(epochs=1), tmp_path / "first")
    model = {**make_config().model.model_dump(mode="json"), "pretrained": str(first.path)}
    config = make_config(model=model)
    capsys.readouterr()
    whole = train(config, tmp_path / "whole")
    said = [line for line in capsys.readouterr().err.splitlines() if "pretrained" in line]
    assert len(said) == 1
    assert f"pretrained tensors loaded from {first.path}; not used: neck." in said[0]
    parts = Trainer.start(config, tmp_path / "parts")
    interrupt_before(parts, 3)
    with pytest.raises(Interrupted):
        parts.fit()
    capsys.readouterr()
    first.model.unlink()
    run = Trainer.resume(tmp_path / "parts").fit()
    assert "pretrained" not in capsys.readouterr().err
    assert run.model.read_bytes() == whole.model.read_bytes()


def test_without_development_the_last_weights_are_exported(
    make_config, tmp_path: Path, assert_same
) -> None:
    data = make_config().data.model_copy(update={"development_share": 0.0})
    run = train(make_config(data=data.model_dump(), ema_decay=None), tmp_path / "run")
    assert not run.best.exists()
    embedder, _ = load_embedder(run.path)
    assert_same(dict(embedder.state_dict()), dict(load_checkpoint(run.last)["step"]["embedder"]))


# ---------------------------------------------------------------------- what is wrong is said


def test_nan_names_step_head_and_layer(make_config, tmp_path: Path) -> None:
    trainer = Trainer.start(make_config(), tmp_path / "run")
    update = trainer.step.update

    def poisoned(batches: Sequence[Batch], number: int, *rest: Any) -> dict[str, torch.Tensor]:
        if number == 2:
            trainer.embedder.backbone.layer2[0].register_forward_hook(
                lambda module, inputs, output: output * float("nan")
            )
        return update(batches, number, *rest)

    trainer.step.update = poisoned  # type: ignore[method-assign]
    with pytest.raises(TrainingError) as error:
        trainer.fit()
    message = str(error.value)
    assert message.startswith(
        "step 2: the loss of head cosface is nan; first seen in the output of"
    )
    assert "layer2.0" in message
    assert "\n" not in message


def test_nan_blames_the_head_that_has_it(make_config, tmp_path: Path) -> None:
    heads = [{"name": "cosface", "scale": 16}, {"name": "softmax", "weight": 0.1}]
    trainer = Trainer.start(make_config(heads=heads), tmp_path / "run")
    trainer.step.heads.heads[1].register_forward_hook(
        lambda module, inputs, output: replace(output, loss=output.loss * float("inf"))
    )
    with pytest.raises(TrainingError) as error:
        trainer.fit()
    said = (
        "step 0: the loss of head softmax is inf; first seen in the output of heads.parts.softmax"
    )
    assert str(error.value).startswith(said)


def test_a_gradient_that_is_not_finite_is_named(make_config, tmp_path: Path) -> None:
    trainer = Trainer.start(make_config(), tmp_path / "run")
    weight = trainer.embedder.neck.linear.weight
    weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match=r"gradients is nan; .*embedder\.neck\.linear\.weight"):
        trainer.fit()


def test_tensorboard_events_are_written(make_config, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = train(make_config(epochs=1, tensorboard=True), tmp_path / "run")
    (events,) = run.tensorboard.iterdir()
    assert b"train/loss" in events.read_bytes()
    assert b"development/auc" in events.read_bytes()


def test_an_infinite_weight_is_named(make_config, tmp_path: Path) -> None:
    trainer = Trainer.start(make_config(), tmp_path / "run")
    with torch.no_grad():
        trainer.step.heads.heads[0].prototypes.weight[0, 0] = float("inf")
    with pytest.raises(TrainingError, match=r"parameter heads\.parts\.cosface\.prototypes\.weight"):
        trainer.fit()


def test_unreadable_images_are_left_out_or_fatal(make_config, tmp_path: Path) -> None:
    root = tmp_path / "people"
    for identity in range(4):
        (root / f"p{identity}").mkdir(parents=True)
        for shot in range(4):
            pixels = np.random.default_rng(shot).integers(0, 255, (32, 32, 3), np.uint8)
            cv2.imwrite(str(root / f"p{identity}" / f"{shot}.png"), pixels)
    (root / "p1" / "2.png").write_bytes(b"no image")
    data = {"root": str(root), "development_share": 0}
    trainer = Trainer.start(make_config(data=data, epochs=1), tmp_path / "skip")
    trainer.fit()
    assert trainer.position.failed_images == 1
    trainer = Trainer.start(
        make_config(data={**data, "on_error": "raise"}, epochs=1), tmp_path / "raise"
    )
    with pytest.raises(DataError, match=r"p1.2\.png"):
        trainer.fit()


def test_a_checkpoint_of_another_architecture(make_config, tmp_path: Path) -> None:
    config = make_config(epochs=1)
    run = train(config, tmp_path / "run")
    text = run.config.read_text().replace("embedding_size: 16", "embedding_size: 24")
    run.config.write_text(text)
    with pytest.raises(TrainingError, match=r"last\.pt does not fit .*config\.yaml"):
        Trainer.resume(run.path)


def test_resume_on_other_data_is_refused(make_config, people: Path, tmp_path: Path) -> None:
    mine = tmp_path / "people"
    shutil.copytree(people, mine)
    data = {"root": str(mine), "development_share": 0.3}
    run = train(make_config(epochs=1, data=data), tmp_path / "run")
    (mine / "person_03").rename(mine / "zzz")
    with pytest.raises(TrainingError, match=r"are not those that .* was trained on"):
        Trainer.resume(run.path)


def test_a_run_that_is_stopped_at_once_can_be_resumed(make_config, tmp_path: Path) -> None:
    trainer = Trainer.start(make_config(epochs=1), tmp_path / "run")

    def broken(batches: Sequence[Batch], number: int, *rest: Any) -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    trainer.step.update = broken  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    resumed = Trainer.resume(tmp_path / "run").fit()
    whole = train(make_config(epochs=1), tmp_path / "whole")
    assert resumed.model.read_bytes() == whole.model.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"text", None])
def test_a_damaged_checkpoint(make_config, tmp_path: Path, damage: bytes | None) -> None:
    run = train(make_config(epochs=1), tmp_path / "run")
    whole = run.last.read_bytes()
    run.last.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(TrainingError, match="is not a complete checkpoint"):
        Trainer.resume(run.path)


def test_a_first_batch_without_a_readable_image(make_config, people: Path, tmp_path: Path) -> None:
    copied = tmp_path / "people"
    shutil.copytree(people, copied)
    data = {"root": str(copied), "development_share": 0.0}
    config = make_config(data=data, batch={"size": 2}, accumulation=2, epochs=1)
    looked_at = Trainer.start(config, tmp_path / "looked at")
    for index in next(looked_at._groups())[0].indices.tolist():
        (copied / looked_at.train_manifest.frame["path"][index]).write_bytes(b"no image")
    run = train(config, tmp_path / "run")
    assert run.model.is_file()
    assert run.batch_picture.is_file()


def test_folders_that_are_not_runs(make_config, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a run folder"):
        Trainer.resume(tmp_path)
    (tmp_path / "something").write_text("mine")
    with pytest.raises(TrainingError, match="already exists"):  # before anything is tried out
        Trainer.start(make_config(precision="auto"), tmp_path)
    assert (tmp_path / "something").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": []}, "heads"),
        ({"heads": [{"name": "cosfase"}]}, "did you mean 'cosface'"),
        ({"model": {"backbone": "resnet10x"}}, "'model.backbone' is 'resnet10x': unknown backbone"),
        ({"batch": {"size": 1000}}, "1000"),
        ({"batch": {"size": 8, "images_per_identity": 3}}, "not a multiple"),
        ({"batch": {"size": 8, "spread_cameras": True}}, "needs images_per_identity"),
        ({"optimizer": {"name": "adamx"}}, "unknown optimizer 'adamx'; did you mean"),
        ({"optimizer": {"name": "sgd", "momentum": 0}}, "optimizer 'sgd': Nesterov momentum"),
        ({"schedule": {"name": "multistep"}}, "needs decay_epochs"),
        (
            {"heads": [{"name": "triplet"}]},
            "head 'triplet' compares images of one identity: set batch.images_per_identity to 2 or",
        ),
        (
            {"heads": [{"name": "cosface"}, {"name": "pml:ContrastiveLoss"}]},
            "head 'pml:ContrastiveLoss' compares images of one identity: set "
            "batch.images_per_identity to 2 or more",
        ),
        (
            {"heads": [{"name": "center"}, {"name": "center", "alpha": 0.9}]},
            "'heads': head 'center' only attracts embeddings: add a head that separates identities",
        ),
        ({"schedule": {"warmup_epochs": 3.5}}, "schedule.warmup_epochs is 3.5, and there are 3"),
        (
            {
                "adversarial": {"generator": {"schedule": {"warmup_epochs": 2}}},
                "heads": [{"name": "softmax"}],
                "batch": {"size": 8, "images_per_identity": 2},
            },
            "adversarial.generator.schedule.warmup_epochs is 2, and there are 1.5",
        ),
        ({"seed": 2**64}, "'seed' is 18446744073709551616"),
        ({"workers": 1_000_000_000}, "1000000000 worker"),
        ({"epochs": 10**18}, "epochs"),
        ({"batch": {"size": 2**40}}, "batch.size"),
        ({"accumulation": 2**40}, "accumulation"),
        ({"model": {"embedding_size": 1_000_000_000}}, "model.embedding_size"),
        ({"model": {"backbone_options": {"layers": [10**9] * 4}}}, "model.backbone_options"),
        ({"model": {"local": {"keypoints": 10**9}}}, "model.local.keypoints"),
        ({"schedule": {"name": "step", "decay_epochs": [0]}}, "schedule.decay_epochs.0"),
        ({"schedule": {"name": "multistep", "decay_epochs": [2, 1]}}, "ascending order"),
        ({"augmentation": {"cutmix": {}}}, "unknown key 'augmentation.cutmix' (allowed: affine"),
        ({"augmentation": {"blurr": {}}}, "'augmentation.blurr'; did you mean 'blur'?"),
        ({"device": "tpu"}, "device"),
        ({"device": "cuda:7"}, "device 'cuda:7' is not available"),
        ({"precision": "fp32", "memory_format": "channels_last"}, "can crash on the CPU"),
        ({"data": {"root": "no-such-place"}}, "no-such-place"),
    ],
)
def test_bad_configurations(make_config, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(FaceverError) as error:
        Trainer.start(make_config(**changes), tmp_path / "run")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_single_identity(make_config, tmp_path: Path) -> None:
    (tmp_path / "faces" / "only").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "faces" / "only" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="at least 2"):
        Trainer.start(make_config(data={"root": str(tmp_path / "faces")}), tmp_path / "run")


def test_spread_cameras_needs_cameras(make_config, tmp_path: Path) -> None:
    batch = {"size": 8, "images_per_identity": 2, "spread_cameras": True}
    with pytest.raises(ConfigError, match="needs a column 'camera'"):
        Trainer.start(make_config(batch=batch), tmp_path / "run")


@pytest.mark.parametrize("size", [1, 2])
def test_a_size_that_the_training_cannot_use_is_one_line(
    make_config, tmp_path: Path, size: int
) -> None:
    preprocessing = {"preprocessing": {"size": [size, size]}}
    patches = {"backbone": "test_vit", "embedding_size": 16, **preprocessing}
    plain = {"backbone": "test_resnet", "embedding_size": 16, **preprocessing}
    with pytest.raises(ConfigError, match=rf"test_vit.*{size} x {size} pixels"):
        train(make_config(model=patches, augmentation=None), tmp_path / "run")
    if size == 1:
        with pytest.raises(ConfigError, match=r"downscale.scale.*1 x 1 pixels"):
            train(make_config(model=plain), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_this_machine_has_no_memory_for_is_refused(
    make_config, tmp_path: Path, monkeypatch
) -> None:
    model = make_config().model.model_dump(mode="json")
    for free, settings, named in (
        (10_000, {}, "batch.size 8 x accumulation 1"),
        (160_000, {"model": {**model, "embedding_size": 4_096}}, "prototypes of embedding_size"),
        (400_000, {"model": {**model, "embedding_size": 4_096}}, "a neck from .* features to"),
    ):
        monkeypatch.setattr("facever.data.machine.free_memory", lambda shared, free=free: free)
        with pytest.raises(ConfigError, match=named):
            Trainer.start(make_config(**settings), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_run_with_a_long_warm_up_goes_on(make_config, tmp_path: Path, interrupt_before) -> None:
    """It began when that was accepted."""
    trainer = Trainer.start(make_config(), tmp_path / "run")
    interrupt_before(trainer, 1)
    with pytest.raises(Interrupted):
        trainer.fit()
    text = trainer.run.config.read_text()
    trainer.run.config.write_text(text.replace("warmup_epochs: 0.5", "warmup_epochs: 9.0"))
    assert Trainer.resume(tmp_path / "run").config.schedule.warmup_epochs == 9
