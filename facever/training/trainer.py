"""The trainer: epochs, updates, checkpoints, evaluation, log."""

import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from signal import Signals
from typing import Any

import torch

from facever import config as configuration
from facever.config import load as load_config
from facever.core.console import Progress, progress, say, warn
from facever.core.processes import from_main, gather_objects, is_main, rank
from facever.core.seeding import derive
from facever.data.loading import Batch
from facever.data.sources import load as load_data
from facever.deprecated import Former, former_names
from facever.errors import TrainingError
from facever.heads.base import Metric
from facever.models.precision import choose_device
from facever.training.batches import make_batches
from facever.training.building import (
    make_average,
    make_embedder,
    make_step,
    make_watch,
    require_room,
    with_alignment,
)
from facever.training.computing.parallel import Agreement, agree
from facever.training.computing.precision import Precision, require_named, settled
from facever.training.computing.prefetch import on_device
from facever.training.config import TrainConfig, require_warm_up_within, with_absolute_paths
from facever.training.interruption import Interrupted, Interruption, interruptible
from facever.training.length import require_length, say_length, with_epochs
from facever.training.monitoring.beforehand import warn_of_collapse
from facever.training.monitoring.means import Means
from facever.training.monitoring.pictures import save_batch_picture
from facever.training.monitoring.profiling import Profile
from facever.training.monitoring.waiting import DataWait
from facever.training.run import FinishedRun, MetricsLog, Run, write_environment
from facever.training.saving.checkpoint import (
    load_checkpoint,
    own_random_state,
    random_state,
    random_states,
    restore_random_state,
    save_checkpoint,
)
from facever.training.saving.pieces import load_pieces, remove_pieces, save_pieces
from facever.training.saving.position import Position
from facever.training.saving.provenance import (
    data_digest,
    names_as_trained,
    summary,
    write_identities,
)
from facever.training.selection.best import BestWeights
from facever.training.selection.operating_point import set_operating_point
from facever.training.selection.selection import select
from facever.training.supervision.targets import prepare
from facever.training.tracking import open_trackers


class Trainer:
    """One training run, from a configuration to `model.safetensors`.

    Args:
        config: What to train.
        run: The run folder, new or to be continued.
        data: The `--data` option: where named data sets are looked for first.
        epochs: Other than those of the configuration; None: those.

    Raises:
        ConfigError, DataError, ModelError: Whatever cannot be used, before anything is trained.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: Run,
        data: str | Path | None = None,
        epochs: int | None = None,
    ) -> None:
        self.device = choose_device(config.device)
        config = with_absolute_paths(config)
        manifest = load_data(config.data.root, data, config.data.layout, config.data.on_error)
        manifest = names_as_trained(manifest, run.identities)
        self.train_manifest, self.development_manifest = select(
            manifest, config.data, config.batch, config.seed
        )
        resumed = from_main(run.last.is_file())
        if not resumed:
            config = with_alignment(config, self.train_manifest)
        config, self._targets = prepare(config, self.train_manifest, self.device)
        self.run, self.position = run, Position()
        self._batches = make_batches(config, self.train_manifest, self.device)
        require_room(config, len(self.train_manifest.identities), len(self._batches))
        self._updates_per_epoch = math.ceil(len(self._batches) / config.accumulation)
        self._before = config
        config = with_epochs(config, epochs or config.epochs, self._updates_per_epoch)
        torch.manual_seed(derive(config.seed, "weights"))
        self.embedder = make_embedder(config.model, resumed)
        if not resumed:  # a resume computes as the run began
            named = settled(config, self.embedder, self.device) if is_main() else config
            config = from_main(named)
        self.config = config
        self._precision = Precision(require_named(config.precision), self.device)
        self.step = make_step(
            config,
            self.embedder,
            len(self.train_manifest.identities),
            self._updates_per_epoch,
            self._precision,
            self._targets,
        )
        self._heads = self.step.heads
        self.metric: Metric = config.metric or self.step.metric
        self._ema = make_average(config, self.embedder)
        torch.manual_seed(self._own_seed())
        self._random = random_state(self.device)  # what the first update begins with
        self._best = BestWeights(
            config,
            run,
            self.embedder,
            self._ema,
            self._heads,
            self.development_manifest,
            self.metric,
            self._precision,
        )
        self._watch = make_watch(config, self.step, self.train_manifest, self._updates_per_epoch)
        self._means, self._wait = Means(), DataWait(self.device, self._batches.are_kept)
        self._images = 0  # since the last line of the log
        self._seconds_before = 0.0  # of training, before this process
        self._began = self._saved_at = time.monotonic()
        self._stamp: tuple[int, ...] | None = None  # of last.pt, as this trainer knows it

    @classmethod
    def prepare(
        cls, config: TrainConfig, folder: str | Path, data: str | Path | None = None
    ) -> "Trainer":
        """Return the trainer of a new run, whose `folder` is not made yet."""
        if is_main():
            Run(folder).require_new()
        require_warm_up_within(config)
        warn_of_collapse(config)
        trainer = cls(config, Run(folder), data)
        trainer._require_same_data()
        trainer._targets.begin(trainer._heads.heads)
        return trainer

    @classmethod
    def start(
        cls, config: TrainConfig, folder: str | Path, data: str | Path | None = None
    ) -> "Trainer":
        """Begin a new run in `folder`."""
        # Built first against a folder that is not there yet: bad input leaves nothing behind.
        trainer = cls.prepare(config, folder, data)
        if is_main():
            trainer._create()
        from_main(None)  # the folder is there now, for what each process writes
        return trainer

    @classmethod
    def resume(
        cls, folder: str | Path, data: str | Path | None = None, epochs: int | None = None
    ) -> "Trainer":
        """Continue the run in `folder` from its last checkpoint, to these `epochs`."""
        run = Run.open(folder)
        with run.alone():  # refused at once, not after minutes of loading
            stamp, state = run.stamp(), load_checkpoint(run.last)
        if epochs is not None:
            require_length(run.path, epochs, Position(**state["position"]))
        trainer = cls(load_config(TrainConfig, run.config), run, data, epochs)
        trainer._require_same_data()
        trainer._load_state(state)
        trainer._stamp = stamp
        return trainer

    def _create(self) -> None:
        """Make the run folder, with what is known before the first update."""
        Run.create(self.run.path)
        configuration.dump(self.config, self.run.config)
        write_environment(self.run, str(self.device), torch.get_num_threads())
        write_identities(self.run.identities, self.train_manifest, self.development_manifest)

    def fit(self, profile: bool = False) -> FinishedRun:
        """Train to the end and export the model.

        Args:
            profile: Write a trace of some updates to the run's `profile/`, and say what took
                their time.

        Returns:
            The run, whole: `model.safetensors` holds the best weights on development
            identities, or the last ones where there are none.

        Raises:
            Interrupted: SIGTERM or Ctrl-C came; everything is saved.
            TrainingError: A value that is not finite, no readable image, or another process that
                trains this run, or has since this trainer was made.
        """
        with self.run.training(self._stamp):
            return self._fit(profile)

    def _fit(self, profile: bool) -> FinishedRun:
        position, config = self.position, self.config
        log = MetricsLog(self.run.metrics, open_trackers(config, self.run) if is_main() else ())
        log.rewind(position.update, position.epoch)
        recording = Profile(self.run.profile, self.device) if profile and is_main() else None
        restore_random_state(self._random, self.device)
        total = len(self._batches) * config.epochs
        say(summary(config, self.train_manifest, self.development_manifest, self.device))
        try:
            with interruptible() as asked, progress("training", total, "batches") as shown:
                shown.start_at(position.epoch * len(self._batches) + position.batch)
                self._began = self._saved_at = time.monotonic()
                if config.epochs != self._before.epochs:
                    self._change_length(log)
                elif position.update == 0:
                    self._save_last()  # a run that is stopped at once can be resumed too
                while position.epoch < config.epochs and not self._best.out_of_patience(position):
                    if recording is not None:
                        recording.epoch(self._updates_left(), position.epoch + 1 < config.epochs)
                    for batches in asked.until(self._groups()):
                        agreement = self._agree(asked, batches)
                        self._update(batches, agreement, shown, log)
                        if recording is not None:
                            recording.updated(self._updates_left())
                    self._agree(asked)
                    position.epoch, position.batch = position.epoch + 1, 0
                    if (
                        position.epoch % config.evaluate_every == 0
                        or position.epoch == config.epochs
                    ):
                        self._best.evaluate(position, log)
                    self._save_last()
            if position.epoch < config.epochs:
                say(self._best.why_stopped(position))
            if recording is not None:
                recording.close()
        finally:
            log.close()
            self._batches.close()
        if is_main():
            self._best.export()
        from_main(None)  # the model is there now
        if self.development_manifest is not None:
            set_operating_point(self.run, self.development_manifest, self.config, self.device)
        return FinishedRun(self.run.path, config.epochs, config.best_by, position)

    def embed(self, batch: Batch) -> None:
        """Compute a batch as the evaluations on development people do."""
        self.embedder.eval()
        with torch.inference_mode(), self._precision.autocast():
            self.embedder(batch.images.to(self.device))

    @property
    def updates_per_epoch(self) -> int:
        """Updates of the weights in an epoch."""
        return self._updates_per_epoch

    def rehearse(self, updates: int) -> Iterator[list[Batch]]:
        """Make the first updates without saving anything; yield the batches of each.

        The trainer cannot train afterwards: its weights have changed.

        Args:
            updates: How many, at most those of an epoch.

        Raises:
            TrainingError: No image of an update can be read, or a value is not finite.
        """
        try:
            for number, batches in enumerate(islice(self._groups(), updates)):
                agreement = agree(batches)
                self._require_images(batches, agreement)
                self.step.update(batches, number, agreement)
                yield batches
        finally:
            self._batches.close()

    def _change_length(self, log: MetricsLog) -> None:
        """Say and write down that the run has another length, before an update is made."""
        position, epochs = self.position, self.config.epochs
        say_length(self.run.path, self._before, self.config, position)
        if (position.epoch, position.batch) == (epochs, 0) and epochs % self.config.evaluate_every:
            self._best.evaluate(position, log)  # its last epoch is done, and was not the last one
        self._save_last()
        if is_main():
            configuration.dump(self.config, self.run.config)

    def _groups(self) -> Iterator[list[Batch]]:
        """Yield the micro-batches of one update after another, from the position onwards."""
        self._batches.set_epoch(self.position.epoch)
        self._batches.start_at(self.position.batch)
        batches = iter(self._batches)
        groups = iter(lambda: list(islice(batches, self.config.accumulation)), [])
        yield from self._wait.watch(on_device(groups, self.device))

    def _agree(self, asked: Interruption, batches: Sequence[Batch] = ()) -> Agreement:
        """Ask the processes what they have, and save what one of them wants saved.

        Raises:
            Interrupted: One of them was asked to stop.
        """
        due = time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes
        agreement = agree(batches, asked.signal or 0, due)
        if agreement.signal or agreement.due:
            self._save_last()
        if agreement.signal:
            raise Interrupted(Signals(agreement.signal), str(self.run.path))
        return agreement

    def _update(
        self, batches: list[Batch], agreement: Agreement, shown: Progress, log: MetricsLog
    ) -> None:
        position = self.position
        started = time.perf_counter()
        if position.update == 0 and is_main():
            pictured = next((batch for batch in batches if len(batch.labels)), None)
            if pictured is not None:
                save_batch_picture(pictured.images, pictured.labels, self.run.batch_picture)
        self._require_images(batches, agreement)
        with self._wait.working():
            stats = self.step.update(batches, position.update, agreement)
        position.batch += len(batches)
        position.failed_images += agreement.failed
        self._images += sum(agreement.together)
        self._means.note(stats)
        if stats.get("overflow", 0):
            shown.advance(len(batches))
            return
        position.update += 1
        if self._ema is not None:
            self._ema.update(self.embedder, position.update)
        if position.update % self.config.log_every == 0 or position.update == 1:
            self._log_training(log, shown, time.perf_counter() - started)
        shown.advance(len(batches))

    def _require_images(self, batches: Sequence[Batch], agreement: Agreement) -> None:
        """Refuse an update without a readable image.

        Raises:
            TrainingError: No process has one.
        """
        if not any(agreement.together):
            position = self.position
            raise TrainingError(
                f"no image of batch {position.batch} of epoch {position.epoch} can be read; "
                f"the first: {batches[0].failed[0][1]}"
            )

    def _log_training(self, log: MetricsLog, shown: Progress, seconds: float) -> None:
        means = self._means.take()
        for alarm in self._watch.look(self.position.update, means):
            warn(alarm.message)
            log.write(
                "alarm",
                self.position.update,
                {"alarm": alarm.kind, "head": alarm.head, "message": alarm.message},
            )
        spent = self._wait.take()
        speed, self._images = self._images / max(spent.seconds, 1e-9), 0
        if complaint := self._wait.complaint():
            warn(complaint)
        log.write(
            "train",
            self.position.update,
            {
                "epoch": self.position.epoch,
                **{name: value if math.isfinite(value) else None for name, value in means.items()},
                "lr": self.step.learning_rate(),
                "images_per_s": round(speed, 1),
                "data_wait_percent": round(spent.waited, 1),
                "update_seconds": round(seconds, 4),
                "seconds": round(self._seconds(), 1),
                "failed_images": self.position.failed_images,
            },
        )
        shown.advance(
            0,
            f"epoch {self.position.epoch + 1}/{self.config.epochs}, loss {means['loss']:.3f}, "
            f"{speed:.0f} images/s, waited {spent.waited:.0f} % for data",
        )

    def _seconds(self) -> float:
        """Return how long this run has trained, in all its processes."""
        return self._seconds_before + time.monotonic() - self._began

    def _updates_left(self) -> int:
        """Return how many updates of this epoch are to come."""
        return self._updates_per_epoch - math.ceil(self.position.batch / self.config.accumulation)

    def _save_last(self) -> None:
        """Write last.pt, by the first process; what each holds a shard of, by each."""
        step, shards, update = self.step.state_dict(), self.step.shards(), self.position.update
        pieces = save_pieces(self.run.checkpoints, update, step, shards) if shards else None
        state: dict[str, Any] = {
            "step": step,
            "pieces": pieces,
            "ema": None if self._ema is None else self._ema.module.state_dict(),
            "position": vars(self.position),
            "random": random_states(self.device),  # all processes have written by now
            **self._means.state_dict(),
            "watch": self._watch.state_dict(),
            "seconds": self._seconds(),
            "data": self._digest(),
        }
        if is_main():
            save_checkpoint(self.run.last, state)
            remove_pieces(self.run.checkpoints, None if pieces is None else pieces["folder"])
            self._stamp = self.run.stamp()
        self._saved_at = time.monotonic()

    def _require_same_data(self) -> None:
        """Refuse to begin where the processes, on several machines, see other data."""
        told = gather_objects(self._digest())
        for number, digest in enumerate(told):
            if digest != told[0]:
                raise TrainingError(
                    f"process {number} finds other images or people in {self.config.data.root} "
                    "than process 0: give all machines the same data"
                )

    def _digest(self) -> str:
        """Return a hash of the data that a resume must find again."""
        return data_digest(
            (self.train_manifest, self.development_manifest), beside=self._targets.digest
        )

    def _load_state(self, state: dict[str, Any]) -> None:
        if state["data"] != self._digest():
            beside = ", attributes or teacher" if self._targets.digest else ""
            said = f"the images or people in {self.config.data.root}{beside} are not those that "
            said += f"{self.run.path} was trained on"
            raise TrainingError(f"{said}: put them back, or start a new run")
        try:
            if state.get("pieces"):
                load_pieces(self.run.checkpoints, state["pieces"], state["step"])
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
        self._means.load_state_dict(state, self.device)
        if "watch" in state:  # not in older checkpoints
            self._watch.load_state_dict(state["watch"])
        self._seconds_before = state["seconds"]
        random = own_random_state(state["random"])
        if random is None:  # the run had fewer processes until now
            torch.manual_seed(self._own_seed())
        self._random = random or random_state(self.device)

    def _own_seed(self) -> int:
        """Return the seed of this process's dropout and the like."""
        names = ("training",) if is_main() else ("training", rank(), self.position.update)
        return derive(self.config.seed, *names)


__getattr__ = former_names(
    __name__, {"train": Former("facever.training.train:train", "facever.train")}
)
