"""Trainings and heads on what this machine computes with: its CPU, and a GPU where there is one.

On a machine with a GPU this is the file to run; it needs neither FAISS nor albumentations.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facever.core.run_folder import read_metrics
from facever.data.manifest import Manifest
from facever.models.loading import load_model
from facever.training.computing.rows import RowSampling
from facever.training.trainer import Trainer
from tests.heads.layouts import FORMS, images, make

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LAYOUTS: dict[str, dict[str, Any]] = {
    "kept": {},
    "streamed": {"logits": "streamed"},
    "sharded": {"stored": "sharded"},
}

on_each_device = pytest.mark.parametrize("device", DEVICES)


def differentiated(form: str, layout: dict[str, Any], device: str, dtype: torch.dtype) -> Any:
    head = make(form, 300, 32, **layout).to(device, dtype)
    x, labels = images(form, 24, 300, 32)
    x = x.to(device, dtype).requires_grad_()
    output = head(x, labels.to(device))
    assert output.loss.device.type == device
    gradients = torch.autograd.grad(output.loss, [x, *head.parameters()])
    return [output.loss.detach(), *gradients]


@on_each_device
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_heads_are_those_of_float64(form: str, layout: str, device: str) -> None:
    exact = differentiated(form, {}, "cpu", torch.float64)
    found = differentiated(form, LAYOUTS[layout], device, torch.float32)
    for mine, theirs in zip(found, exact, strict=True):
        scale = float(theirs.abs().max().clamp_min(1e-6))
        torch.testing.assert_close(mine.cpu().double(), theirs, rtol=1e-4, atol=1e-5 * scale)


@on_each_device
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_a_sample_is_lent_and_given_back(optimizer: str, device: str) -> None:
    head = make("cosface", 300, 32, sampled=0.2, logits="streamed").to(device)
    kinds = {"momentum": torch.optim.SGD, "adamw": torch.optim.AdamW}
    more = {"momentum": 0.9} if optimizer == "momentum" else {}
    updates = kinds[optimizer](head.parameters(), lr=0.1, fused=True, **more)
    rows = RowSampling([head], updates, 0.2, seed=0)
    assert head.prototypes is not None
    x, labels = images("cosface", 24, 300, 32)
    for number in range(3):
        before = head.prototypes.weight.detach().clone()
        with rows.chosen(labels, number):
            chosen = head.prototypes.sample
            head(x.to(device), labels.to(device)).loss.backward()
            updates.step()
        assert chosen is not None
        assert set(labels.tolist()) <= set(chosen.tolist())
        changed = (head.prototypes.weight != before).any(1).nonzero()[:, 0]
        assert torch.equal(changed, chosen)


@on_each_device
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_and_its_extraction(
    make_config, people: Path, tmp_path: Path, device: str, precision: str
) -> None:
    config = make_config(
        device=device,
        precision=precision,
        augmentation=None,
        workers=1,
        epochs=4,
        prototypes={"logits": "streamed"},
        model={**make_config().model.model_dump(), "dropout": 0.0},
        log_every=1,
    )
    run = Trainer.start(config, tmp_path / "run").fit()
    lines = [line for line in read_metrics(run.metrics) if line["kind"] == "train"]
    losses = [line["loss"] for line in lines]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert all(0 <= line["data_wait_percent"] <= 100 for line in lines)
    assert all(line["images_per_s"] > 0 for line in lines)
    again = Trainer.resume(run.path)
    assert again.position.update == len(lines)
    paths = [str(path) for path in sorted(people.rglob("*.png"))][:12]
    found = load_model(run.path, device=device).embed(paths)
    wanted = load_model(run.path, device="cpu").embed(paths)
    assert (found * wanted).sum(1).min() > 1 - 1e-5


@on_each_device
def test_several_pictures_are_those_of_one_after_the_other(
    people: Path, make_config, tmp_path: Path, device: str
) -> None:
    config = make_config(epochs=1, device=device, augmentation=None)
    run = Trainer.start(config, tmp_path / "run").fit()
    model = load_model(run.path, device=device)
    made = model.extract(Manifest.from_folder(people), tmp_path / "set", workers=1)
    one = model.embed([made.rows["path"].map(lambda path: str(people / path)).iloc[7]])
    np.testing.assert_allclose(made.vectors[7], one[0], atol=1e-4)
