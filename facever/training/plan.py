"""What a training would be: its data, memory and time, from a few updates."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from facever.core.console import byte_count, duration
from facever.core.processes import world
from facever.data.loading import Batch
from facever.data.machine import free_memory, peak_memory
from facever.render.blocks import Cell, Facts, Section
from facever.render.result import Result
from facever.training.trainer import Trainer

_UPDATES = 6  # made; the first ones start workers and choose algorithms
_STARTING = 2


@dataclass(frozen=True)
class TrainingPlan(Result):
    """What a training would be.

    Attributes:
        run: The folder that it would make.
        model: Backbone.
        heads: Training criteria, such as "cosface + center".
        parameters: Number of the embedder's weights.
        images, people: Training data.
        development_images, development_people: For choices; 0 without.
        batch_size: Images per batch, over all processes.
        accumulation: Batches per update.
        epochs, updates: Length of the training.
        device, precision: Where and in which numbers it would be computed.
        processes: Number of processes.
        memory_bytes: Peak memory of this process in the measured updates; None if unknown.
        gpu_memory_bytes: Peak memory on the GPU; None on the CPU.
        free_bytes: Memory that is free now, after these updates.
        seconds_per_update: Measured, with loading.
        seconds: Approximate time of the training with its evaluations, without early stopping.
    """

    run: str
    model: str
    heads: str
    parameters: int
    images: int
    people: int
    development_images: int
    development_people: int
    batch_size: int
    accumulation: int
    epochs: int
    updates: int
    device: str
    precision: str
    processes: int
    memory_bytes: int | None
    gpu_memory_bytes: int | None
    free_bytes: int
    seconds_per_update: float
    seconds: float

    json_keys = (
        "run model heads parameters images people development_images development_people "
        "batch_size accumulation epochs updates device precision processes memory_bytes "
        "gpu_memory_bytes free_bytes seconds_per_update seconds"
    )

    def describe(self) -> list[Section]:
        """Return the plan as facts."""
        development = "none: the last weights are exported, without an operating point"
        if self.development_people:
            development = (
                f"{self.development_images:,} images of {self.development_people:,} other people"
            )
        batches = f" x {self.accumulation} batches" if self.accumulation > 1 else ""
        known = "not known" if self.memory_bytes is None else byte_count(self.memory_bytes)
        memory = f"{known} at most in this process, {byte_count(self.free_bytes)} still free"
        if self.gpu_memory_bytes is not None:
            memory += f"; {byte_count(self.gpu_memory_bytes)} on the GPU"
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        rows: list[tuple[str, Cell]] = [
            ("run folder", self.run),
            ("model", f"{self.model}, {self.parameters:,} parameters"),
            ("heads", self.heads),
            ("training", f"{self.images:,} images of {self.people:,} people"),
            ("development", development),
            (
                "length",
                f"{self.epochs:,} epochs, {self.updates:,} updates of {self.batch_size:,} images"
                f"{batches}",
            ),
            ("computed on", f"{self.device}, {self.precision}{processes}"),
            ("memory", memory),
            (
                "time",
                f"about {duration(self.seconds)} ({self.seconds_per_update:.2f} s per update "
                "measured; evaluations included, early stopping not)",
            ),
        ]
        return [Section("plan", "Dry run: nothing is trained", [Facts(rows)])]


def rehearse(trainer: Trainer) -> TrainingPlan:
    """Make a few updates with a trainer, throw them away, and return the plan.

    Raises:
        TrainingError: No image of an update can be read, or a value is not finite.
    """
    config, device = trainer.config, trainer.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    taken: list[float] = []
    batches: list[Batch] = []
    began = _now(device)
    for batches in trainer.rehearse(_UPDATES):  # noqa: B007 - the last ones
        taken.append(_now(device) - began)
        began = _now(device)
    update = median(taken[_STARTING:] or taken)
    updates = trainer.updates_per_epoch * config.epochs
    train, development = trainer.train_manifest, trainer.development_manifest
    evaluating = 0.0
    if development is not None:
        evaluations = math.ceil(config.epochs / config.evaluate_every)
        candidates = 1 if config.ema_decay is None else 2
        evaluating = evaluations * candidates * len(development) * _image_seconds(trainer, batches)
    return TrainingPlan(
        run=str(trainer.run.path),
        model=config.model.backbone,
        heads=config.criteria,
        parameters=sum(one.numel() for one in trainer.embedder.parameters()),
        images=len(train),
        people=len(train.identities),
        development_images=0 if development is None else len(development),
        development_people=0 if development is None else len(development.identities),
        batch_size=config.batch.size,
        accumulation=config.accumulation,
        epochs=config.epochs,
        updates=updates,
        device=str(device),
        precision=config.precision,
        processes=world(),
        memory_bytes=peak_memory(),
        gpu_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        free_bytes=free_memory(shared=False),
        seconds_per_update=update,
        seconds=updates * update + evaluating,
    )


def _image_seconds(trainer: Trainer, batches: Sequence[Batch]) -> float:
    """Return the seconds in which one image is embedded, in one of `world()` processes."""
    batch = max(batches, key=lambda one: len(one.labels))
    began = _now(trainer.device)
    trainer.embed(batch)
    return (_now(trainer.device) - began) / max(len(batch.labels), 1) / world()


def _now(device: torch.device) -> float:
    """Return the time in seconds, when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic()
