"""Trainings on the device: number formats, resume, HTG, images that are copied ahead."""

import math
from pathlib import Path
from typing import Any

import torch

from facever.config import parse
from facever.core.run_folder import read_metrics
from facever.data.loading import Batch
from facever.data.synthesize import synthesize
from facever.models.saving import load_embedder
from facever.training.computing.prefetch import on_device
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.trainer import Trainer
from tools.gpu.context import Context, Finding, judged


def precisions(context: Context) -> list[Finding]:
    """Train in fp32, bf16 and fp16: every loss is finite, and it falls."""
    found = []
    for precision in ("fp32", "bf16", "fp16") if context.on_gpu else ("fp32",):
        run = _trained(context, f"run-{precision}", precision=precision)
        losses = _losses(run)
        half = len(losses) // 2
        before, after = (math.fsum(part) / len(part) for part in (losses[:half], losses[half:]))
        holds = all(map(math.isfinite, losses)) and after < before
        said = f"mean loss of the first half {before:.3f}, of the second {after:.3f}"
        found.append(judged(f"training, {precision}", holds, said))
    return found


def resume(context: Context) -> list[Finding]:
    """Compare a training that stopped half way and went on with one that did not stop."""
    whole = _trained(context, "whole", epochs=4)
    run = _trained(context, "halved", epochs=2)
    Trainer.resume(run.path, epochs=4).fit()
    one, two = (load_embedder(path)[0].state_dict() for path in (whole.path, run.path))
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    said = f"largest difference of a weight {apart:.2g}" + ("" if apart else ": bit for bit")
    return [judged("resume", apart <= (1e-2 if context.on_gpu else 0), said)]


def htg(context: Context) -> list[Finding]:
    """Train by adversarial hard triplets."""
    run = _trained(
        context,
        "htg",
        heads=[{"name": "softmax"}],
        batch={"size": 16, "images_per_identity": 4},
        adversarial={"pretraining": 0.5},
    )
    losses = _losses(run)
    return [judged("HTG", all(map(math.isfinite, losses)), f"last loss {losses[-1]:.3f}")]


def prefetching(context: Context) -> list[Finding]:
    """Compare images that were copied ahead, while the device computed, with those sent."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(8)
    sent = [
        torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, generator=draw) for _ in "x" * 9
    ]
    pinned = [images.pin_memory() if context.on_gpu else images for images in sent]
    groups = ([Batch(images, labels, labels, [])] for images in pinned)
    busy = torch.ones(2048 if context.on_gpu else 8, 8, device=context.device)
    came = []
    for (batch,) in on_device(groups, torch.device(context.device)):
        busy = busy @ (busy.T @ busy / busy.shape[0] ** 2)
        came.append(batch.images.clone())
    equal = all(torch.equal(a, b.cpu()) for a, b in zip(sent, came, strict=True))
    return [judged("prefetching", equal, f"{len(sent)} batches, each as it was sent: {equal}")]


def _trained(context: Context, name: str, **changes: Any) -> Run:
    """Train a small network on generated people, without albumentations."""
    people = context.folder / "people"
    if not people.exists():
        synthesize(people, 10, 6, size=32)
    values: dict[str, Any] = {
        "data": {"root": str(people), "development_share": 0},
        "model": {
            "backbone": "test_resnet",
            "embedding_size": 16,
            "preprocessing": {"size": [32, 32]},
        },
        "heads": [{"name": "cosface", "scale": 16}],
        "batch": {"size": 12},
        "optimizer": {"lr": 0.003},
        "schedule": {"name": "constant", "warmup_epochs": 0},
        "augmentation": None,
        "epochs": 4,
        "workers": 1 if context.on_gpu else 0,
        "precision": "fp32",
        "device": context.device,
        "log_every": 1,
        "tensorboard": False,
    }
    config = parse(TrainConfig, {**values, **changes})
    return Trainer.start(config, Path(context.folder / name)).fit()


def _losses(run: Run) -> list[float]:
    return [line["loss"] for line in read_metrics(run.metrics) if line["kind"] == "train"]
