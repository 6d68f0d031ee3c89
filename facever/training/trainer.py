"""The trainer: epochs, updates, checkpoints, evaluation, log."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor

from facever import config as configuration
from facever.config import load as load_config
from facever.console import Progress, progress, say, warn
from facever.data.loading import Batch
from facever.data.sources import load as load_data
from facever.errors import ConfigError, TrainingError
from facever.heads.base import Metric
from facever.heads.registry import build_head
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.models.precision import choose_device
from facever.models.saving import save_embedder
from facever.seeding import derive
from facever.training.adversarial import AdversarialStep
from facever.training.attributes import AttributeHeads
from facever.training.batches import make_batches
from facever.training.checkpoint import (
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from facever.training.config import TrainConfig, with_absolute_paths
from facever.training.development import Development, better
from facever.training.interruption import Interrupted, interruptible
from facever.training.operating_point import set_operating_point
from facever.training.optimization import Schedule, make_optimizer, parameter_groups
from facever.training.pictures import save_batch_picture
from facever.training.precision import Precision, choose_memory_format, named
from facever.training.provenance import data_digest, summary, write_identities
from facever.training.run import MetricsLog, Run, write_environment
from facever.training.selection import select
from facever.training.steps import EmbeddingStep, Step
from facever.training.targets import prepare
from facever.training.trial import Trial, settle
from facever.training.watch import Watch


@dataclass
class Position:
    """How far a training is, and the best it has seen; all of it is in the checkpoint."""

    epoch: int = 0
    batch: int = 0
    update: int = 0
    best: float | None = None
    best_weights: str = "raw"
    since_best: int = 0
    failed_images: int = 0


class Trainer:
    """One training run, from a configuration to `model.safetensors`.

    Args:
        config: What to train.
        run: The run folder, new or to be continued.
        data: The `--data` option: where named data sets are looked for first.

    Raises:
        ConfigError, DataError, ModelError: Whatever cannot be used, before anything is trained.
    """

    def __init__(self, config: TrainConfig, run: Run, data: Path | None = None) -> None:
        self.device = choose_device(config.device)
        config = with_absolute_paths(config)
        manifest = load_data(config.data.root, data, config.data.layout)
        self.train_manifest, self.development_manifest = select(
            manifest, config.data, config.batch, config.seed
        )
        config, self._targets = prepare(config, self.train_manifest, self.device)
        self.run = run
        self._batches = make_batches(config, self.train_manifest)
        self._updates_per_epoch = math.ceil(len(self._batches) / config.accumulation)
        torch.manual_seed(derive(config.seed, "weights"))
        self.embedder = Embedder(config.model)
        self._trial: Trial | None = None
        if not run.last.is_file():  # a resume computes as the run began
            config, self._trial = settle(config, self.embedder, self.device)
        self.config = config
        self._precision = Precision(named(config.precision), self.device)
        self.metric: Metric = "cosine"
        self.step = self._make_step()
        self.metric = config.metric or self.metric
        self._ema = self._make_ema()
        torch.manual_seed(derive(config.seed, "training"))
        self._random = random_state(self.device)  # what the first update begins with
        self._attributes = AttributeHeads(self._heads, self.development_manifest)
        self._development = self._make_development()
        self.position = Position()
        self._watch = self._make_watch()
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}  # of the updates that had each
        self._seconds_before = 0.0  # of training, before this process
        self._began = self._saved_at = time.monotonic()

    @classmethod
    def start(cls, config: TrainConfig, folder: Path, data: Path | None = None) -> "Trainer":
        """Begin a new run in `folder`."""
        # Built first against a folder that is not there yet: bad input leaves nothing behind.
        trainer = cls(config, Run(folder), data)
        trainer._targets.begin(trainer._heads.heads)
        trainer.run = Run.create(folder)
        configuration.dump(trainer.config, trainer.run.config)
        write_environment(
            trainer.run,
            str(trainer.device),
            torch.get_num_threads(),
            None if trainer._trial is None else trainer._trial.to_dict(),
        )
        write_identities(
            trainer.run.identities, trainer.train_manifest, trainer.development_manifest
        )
        return trainer

    @classmethod
    def resume(cls, folder: Path, data: Path | None = None) -> "Trainer":
        """Continue the run in `folder` from its last checkpoint."""
        run = Run.open(folder)
        state = load_checkpoint(run.last)
        trainer = cls(load_config(TrainConfig, run.config), run, data)
        trainer._load_state(state)
        return trainer

    def fit(self) -> Run:
        """Train to the end and export the model.

        Returns:
            The run folder, whole: `model.safetensors` holds the best weights on development
            identities, or the last ones where there are none.

        Raises:
            Interrupted: SIGTERM or Ctrl-C came; everything is saved.
            TrainingError: A value that is not finite, or no readable image.
        """
        position, config = self.position, self.config
        log = MetricsLog(self.run, config.tensorboard)
        log.rewind(position.update, position.epoch)
        restore_random_state(self._random, self.device)
        total = len(self._batches) * config.epochs
        say(summary(config, self.train_manifest, self.development_manifest, self.device))
        try:
            with interruptible() as asked, progress("training", total, "batches") as shown:
                shown.start_at(position.epoch * len(self._batches) + position.batch)
                self._began = self._saved_at = time.monotonic()
                if position.update == 0:
                    self._save_last()  # a run that is stopped at once can be resumed too
                while position.epoch < config.epochs and not self._out_of_patience():
                    for batches in self._groups():
                        self._update(batches, shown, log)
                        if asked.signal is not None:
                            self._save_last()
                            raise Interrupted(asked.signal, str(self.run.path))
                        if time.monotonic() - self._saved_at > 60 * config.checkpoint_minutes:
                            self._save_last()
                    position.epoch, position.batch = position.epoch + 1, 0
                    if position.epoch % config.evaluate_every == 0 or self._is_over():
                        self._evaluate(log)
                    self._save_last()
        finally:
            log.close()
            self._batches.close()
        self._export()
        return self.run

    # ------------------------------------------------------------------ one update

    def _groups(self) -> Iterator[list[Batch]]:
        """Yield the micro-batches of one update after another, from the position onwards."""
        self._batches.set_epoch(self.position.epoch)
        self._batches.start_at(self.position.batch)
        batches = iter(self._batches)
        while group := list(islice(batches, self.config.accumulation)):
            yield group

    def _update(self, batches: list[Batch], shown: Progress, log: MetricsLog) -> None:
        position = self.position
        started = time.perf_counter()
        if position.update == 0:
            save_batch_picture(batches[0].images, batches[0].labels, self.run.batch_picture)
        failed = sum(len(batch.failed) for batch in batches)
        readable = [batch for batch in batches if len(batch.labels)]
        if not readable:
            raise TrainingError(
                f"no image of batch {position.batch} of epoch {position.epoch} can be read; "
                f"the first: {batches[0].failed[0][1]}"
            )
        stats = self.step.update(readable, position.update)
        position.batch += len(batches)
        position.update += 1
        position.failed_images += failed
        if self._ema is not None:
            self._ema.update(self.embedder, position.update)
        self._note(stats)
        if position.update % self.config.log_every == 0 or position.update == 1:
            self._log_training(log, shown, time.perf_counter() - started)
        shown.advance(len(batches))

    def _note(self, stats: dict[str, Tensor]) -> None:
        for name, value in stats.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def _log_training(self, log: MetricsLog, shown: Progress, seconds: float) -> None:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        for alarm in self._watch.look(self.position.update, means):
            warn(alarm.message)
            log.write(
                "alarm",
                self.position.update,
                {"alarm": alarm.kind, "head": alarm.head, "message": alarm.message},
            )
        log.write(
            "train",
            self.position.update,
            {
                "epoch": self.position.epoch,
                **{name: value if math.isfinite(value) else None for name, value in means.items()},
                "lr": self.step.learning_rate(),
                "images_per_s": round(shown.speed * self.config.batch.size, 1),
                "update_seconds": round(seconds, 4),
                "seconds": round(self._seconds(), 1),
                "failed_images": self.position.failed_images,
            },
        )
        shown.advance(
            0,
            f"epoch {self.position.epoch + 1}/{self.config.epochs}, loss {means['loss']:.3f}, "
            f"{shown.speed * self.config.batch.size:.0f} images/s",
        )

    # ------------------------------------------------------------------ choices

    def _evaluate(self, log: MetricsLog) -> None:
        """Look at the development identities; keep the weights when they are the best so far."""
        if self._development is None:
            return
        position, figure = self.position, self.config.best_by
        candidates = {"raw": self.embedder}
        if self._ema is not None:
            candidates["ema"] = self._ema.module
        position.since_best += 1
        for name, candidate in candidates.items():
            figures = self._development.evaluate(candidate)
            log.write(
                "development",
                position.update,
                {"epoch": position.epoch, "weights": name, **figures},
            )
            is_best = better(figure, figures, position.best)
            say(
                f"epoch {position.epoch}/{self.config.epochs}, development ({name}): "
                + ", ".join(
                    f"{name} {value:.4f}"
                    for name, value in figures.items()
                    if value is not None and name.count("/") < 2
                )
                + (" *" if is_best else "")
            )
            if is_best:
                position.best, position.best_weights = figures[figure], name
                position.since_best = 0
                save_checkpoint(
                    self.run.best,
                    {
                        "embedder": candidate.state_dict(),
                        "attributes": self._attributes.state_dict(),
                        "epoch": position.epoch,
                    },
                )

    def _seconds(self) -> float:
        """Return how long this run has trained, in all its processes."""
        return self._seconds_before + time.monotonic() - self._began

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.position.since_best >= self.config.patience

    def _is_over(self) -> bool:
        return self.position.epoch == self.config.epochs

    def _export(self) -> None:
        """Write model.safetensors from the best weights, else from the averaged or last ones."""
        if self.run.best.is_file():
            best = load_checkpoint(self.run.best)
            self.embedder.load_state_dict(best["embedder"])
            self._attributes.load_state_dict(best.get("attributes", {}))
        elif self._ema is not None:
            self.embedder.load_state_dict(self._ema.module.state_dict())
        self.embedder.eval()
        fingerprint = save_embedder(self.embedder, self.run.model, metric=self.metric)
        if self._attributes:
            development = self._development
            embedded = development.embed(self.embedder) if development is not None else None
            self._attributes.export(self.run, fingerprint, embedded)
        if self.development_manifest is not None:
            set_operating_point(self.run, self.development_manifest, self.config, self.device)

    # ------------------------------------------------------------------ state

    def _save_last(self) -> None:
        state: dict[str, Any] = {
            "step": self.step.state_dict(),
            "ema": None if self._ema is None else self._ema.module.state_dict(),
            "position": vars(self.position),
            "random": random_state(self.device),
            "sums": self._sums,
            "counts": self._counts,
            "watch": self._watch.state_dict(),
            "seconds": self._seconds(),
            "data": self._digest(),
        }
        save_checkpoint(self.run.last, state)
        self._saved_at = time.monotonic()

    def _digest(self) -> str:
        """Return a hash of the data that a resume must find again."""
        return data_digest(
            (self.train_manifest, self.development_manifest), beside=self._targets.digest
        )

    def _load_state(self, state: dict[str, Any]) -> None:
        if state["data"] != self._digest():
            raise TrainingError(
                f"the images or people in {self.config.data.root} are not those that "
                f"{self.run.path} was trained on: put them back, or start a new run"
                if not self._targets.digest
                else f"the images, people, attributes or teacher are not those that "
                f"{self.run.path} was trained with: put them back, or start a new run"
            )
        try:
            self.step.load_state_dict(state["step"])
            if self._ema is not None:
                self._ema.module.load_state_dict(state["ema"])
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            first = str(error).splitlines()
            reason = (first[1].strip() if len(first) > 1 else first[0])[:160]
            raise TrainingError(
                f"{self.run.last} does not fit {self.run.config}: {reason} "
                "Resume with the configuration that it was trained with"
            ) from error
        self.position = Position(**state["position"])
        self._sums = state["sums"]
        if "counts" in state:  # older checkpoints have one for all
            self._counts = state["counts"]
        else:
            self._counts = dict.fromkeys(self._sums, state["sum_count"])
        if "watch" in state:  # not in older checkpoints
            self._watch.load_state_dict(state["watch"])
        self._seconds_before = state["seconds"]
        self._random = state["random"]

    # ------------------------------------------------------------------ parts

    def _make_step(self) -> Step:
        config = self.config
        layout = choose_memory_format(
            config.memory_format, self.embedder, self._precision.name, self.device
        )
        self.embedder.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]
        identities = len(self.train_manifest.identities)
        heads = self._heads = WeightedSum(
            [build_head(head, config.model.embedding_size, identities) for head in config.heads],
            self._updates_per_epoch,
        ).to(self.device)
        for head in heads.heads:  # what the class alone could not tell, such as pml:NAME
            if head.images_per_identity > (config.batch.images_per_identity or 1):
                raise ConfigError(
                    f"head '{head.name}' compares images of one identity: set "
                    f"batch.images_per_identity to {head.images_per_identity} or more"
                )
        self.metric = heads.metric
        groups = parameter_groups(
            self.embedder,
            heads.heads,
            config.optimizer.weight_decay,
            config.optimizer.head_lr_scale,
        )
        optimizer = make_optimizer(groups, config.optimizer)
        schedule = Schedule(optimizer, config.schedule, config.epochs, self._updates_per_epoch)
        parts = (
            self.embedder,
            heads,
            optimizer,
            schedule,
            self._precision,
            layout,
            config.clip_norm,
            self._targets,
        )
        if config.adversarial is None:
            return EmbeddingStep(*parts)
        self.metric = "cosine"  # its triplets are compared on the unit sphere
        return AdversarialStep(
            *parts,
            config=config.adversarial,
            epochs=config.epochs,
            updates_per_epoch=self._updates_per_epoch,
        )

    def _make_watch(self) -> Watch:
        images = self.train_manifest.frame["identity"].value_counts()
        pairs = self._heads.images_per_identity > 1
        return Watch(
            dict(zip(self._heads.names, self.config.heads, strict=True)),
            identities=len(images),
            batch=self.config.batch.size,
            updates_per_epoch=self._updates_per_epoch,
            lone=int((images < 2).sum()) if pairs else 0,
            adversarial=self.config.adversarial,
        )

    def _make_ema(self) -> "ModelEmaV3 | None":
        if self.config.ema_decay is None:
            return None
        return ModelEmaV3(self.embedder, decay=self.config.ema_decay, use_warmup=True)

    def _make_development(self) -> Development | None:
        if self.development_manifest is None:
            return None
        return Development(
            self.development_manifest,
            self.metric,
            self._precision,
            batch_size=256,
            on_error=self.config.data.on_error,
            attributes=self._attributes,
        )


def train(config: TrainConfig, folder: Path, data: Path | None = None) -> Run:
    """Train a model in a new run folder and return the folder."""
    return Trainer.start(config, folder, data).fit()
