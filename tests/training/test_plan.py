"""A dry run: what a training would be, without a file written."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.core.run_folder import read_metrics
from facever.errors import DataError, FaceverError, TrainingError
from facever.training.config import TrainConfig
from facever.training.train import plan_training
from facever.training.trainer import Trainer


def test_a_plan_counts_what_the_training_then_does(make_config, tmp_path) -> None:
    config: TrainConfig = make_config(epochs=2, evaluate_every=2)
    plan = plan_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    trainer = Trainer.start(config, tmp_path / "run")
    trainer.fit()
    lines = read_metrics(trainer.run.metrics)
    assert plan.updates == trainer.position.update == 2 * (plan.images // 8)
    assert plan.images == len(trainer.train_manifest) == 35
    assert (plan.people, plan.development_people, plan.development_images) == (7, 3, 15)
    assert plan.parameters == sum(one.numel() for one in trainer.embedder.parameters())
    spent = max(line["seconds"] for line in lines if line["kind"] == "train")
    assert 0.1 * spent < plan.seconds + 1
    assert plan.seconds >= plan.updates * plan.seconds_per_update > 0
    assert plan.run == str(tmp_path / "run")


def test_evaluations_count_into_the_time(make_config, tmp_path, monkeypatch) -> None:
    """One second per clock call: an update takes one, an image of the evaluation 1 / batch."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("facever.training.plan._now", lambda device: float(next(ticks)))
    plan = plan_training(make_config(epochs=3), tmp_path / "run")
    assert plan.seconds_per_update in (1.0, 2.0)
    evaluating = plan.seconds - plan.updates * plan.seconds_per_update
    assert evaluating == pytest.approx(3 * 2 * 15 / 8, rel=0.7)  # epochs, raw and ema, images


def test_the_memory_is_that_of_this_process(make_config, tmp_path) -> None:
    plan = plan_training(make_config(), tmp_path / "run")
    status = Path("/proc/self/status")
    if status.is_file():
        peak = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        assert plan.memory_bytes == pytest.approx(int(peak.split()[1]) * 1024, rel=0.2)
    assert plan.gpu_memory_bytes is None
    assert plan.free_bytes > 0


def test_a_plan_refuses_what_a_training_refuses(make_config, tmp_path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(TrainingError, match="already exists"):
        plan_training(make_config(), tmp_path / "taken")
    with pytest.raises(FaceverError, match="nowhere"):
        plan_training(make_config(data={"root": "nowhere"}), tmp_path / "run")


def test_images_that_cannot_be_read_are_one_line(make_config, tmp_path) -> None:
    whole = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (32, 32, 3)))[1]
    for person in range(10):
        for shot in range(3):
            path = tmp_path / "people" / f"p{person}" / f"{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole.tobytes()[:200])
    data = {"root": str(tmp_path / "people"), "development_share": 0.3, "cache": "never"}
    with pytest.raises((TrainingError, DataError), match="read"):
        plan_training(make_config(data=data), tmp_path / "run")
