"""The run folder of a training: made, opened, locked and logged to."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facever._version import __version__
from facever.core.console import warn
from facever.core.files import alone, naming, read_regular, remove_leftovers, write_text
from facever.core.json_files import parse_json, write_json
from facever.core.processes import is_main, world
from facever.core.run_folder import RunFolder
from facever.data.machine import processor_name
from facever.deprecated import Former, former_names
from facever.errors import TrainingError
from facever.training.saving.position import Position
from facever.training.tracking import Tracker


class Run(RunFolder):
    """The folder of one training run, made by `facever train`."""

    @classmethod
    def create(cls, path: str | Path) -> "Run":
        """Make a new run folder.

        Raises:
            TrainingError: The folder exists and is not empty.
        """
        run = cls(path)
        run.require_new()
        try:
            run.checkpoints.mkdir(parents=True)
        except FileExistsError:  # made a moment ago by another process
            run.require_new()
            raise
        return run

    def require_new(self) -> None:
        """Refuse a folder that holds something.

        Raises:
            TrainingError: The folder exists and is not empty.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise TrainingError(
                f"{self.path} already exists: choose another --out, or continue with --resume "
                f"{self.path}"
            )

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open a run folder that can be continued.

        Raises:
            TrainingError: No such folder, or one without a configuration or checkpoint.
        """
        run = cls(path)
        if not run.config.is_file():
            raise TrainingError(f"{path} is not a run folder (no {run.config.name} in it)")
        if not run.last.is_file():
            raise TrainingError(f"{path} has no checkpoint to resume from (no {run.last})")
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep out every other training of this run; the process of rank 0 does it for all.

        Raises:
            TrainingError: Another process trains it.
        """
        with ExitStack() as stack:
            if is_main():
                said = f"{self.path} is being trained by another process: wait for it or stop it"
                try:
                    stack.enter_context(alone(self.lock, TrainingError(said)))
                except OSError as error:
                    reason = error.strerror or error
                    warn(f"{self.lock}: {reason}; no other process may train this run now")
            yield

    @contextmanager
    def training(self, stamp: tuple[int, ...] | None) -> Iterator[None]:
        """Hold the run for a training that goes on from the checkpoint of a stamp.

        Raises:
            TrainingError: Another process trains it, or has done so since.
        """
        with self.alone():
            try:
                if is_main() and self.stamp() != stamp:
                    raise TrainingError(
                        f"another process has trained {self.path} in the meantime: resume again"
                    )
                for folder in (self.path, self.checkpoints) if is_main() else ():
                    remove_leftovers(folder)
                yield
            finally:
                if is_main():
                    self.lock.unlink(missing_ok=True)

    def stamp(self) -> tuple[int, ...] | None:
        """Return what tells one last.pt from another, None where there is none."""
        try:
            said = self.last.stat()
        except FileNotFoundError:
            return None
        return said.st_ino, said.st_mtime_ns, said.st_size


class FinishedRun(Run):
    """A run whose training has ended, and how it ended.

    Args:
        path: Its folder.
        epochs: How many it was to have.
        best_by: The development figure that chose the weights.
        position: Where it ended.
    """

    def __init__(self, path: str | Path, epochs: int, best_by: str, position: Position) -> None:
        super().__init__(path)
        self.epochs, self.best_by, self.position = position.epoch, best_by, position
        self.stopped_early = position.epoch < epochs

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        position = self.position
        return {
            "run": str(self.path),
            "model": str(self.model),
            "updates": position.update,
            "epochs": self.epochs,
            "stopped_early": self.stopped_early,
            "best": {
                "by": self.best_by,
                "value": position.best,
                "weights": position.best_weights,
            },
            "failed_images": position.failed_images,
        }


def free_run_folder(name: str) -> Path:
    """Return the first of runs/NAME, runs/NAME-2, ... that does not exist."""
    path, count = Path("runs") / name, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{name}-{count}"
    return path


class MetricsLog:
    """metrics.jsonl, and the trackers that its numbers also go to; of the main process.

    Args:
        path: The file.
        trackers: Of the main process; see `facever.training.tracking`.
    """

    def __init__(self, path: Path, trackers: Sequence[Tracker] = ()) -> None:
        self._path, self._trackers = path, trackers
        self._writes = is_main()

    def rewind(self, step: int, epoch: int) -> None:
        """Forget every line after `step` and `epoch` whole ones: a resumed run writes them again.

        An evaluation is done again where its epoch's checkpoint was not reached.
        """
        if not self._writes or not os.path.lexists(self._path):
            return
        lines = _lines(self._path)
        kept = [line for line in lines if _is_before(line, step, epoch)]
        write_text(self._path, "".join(line + "\n" for line in kept))

    def write(self, kind: str, step: int, values: Mapping[str, float | int | str | None]) -> None:
        """Append one line; its numbers go to the trackers."""
        if not self._writes:
            return
        line = json.dumps({"kind": kind, "step": step, **values}, allow_nan=False)
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        numbers = {name: one for name, one in values.items() if isinstance(one, float | int)}
        for tracker in self._trackers if numbers else ():
            tracker.log(kind, step, numbers)

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self._trackers:
            tracker.close()


def _lines(path: Path) -> list[str]:
    return read_regular(path).decode(errors="replace").splitlines()


def write_environment(run: Run, device: str, threads: int) -> None:
    """Write what the run ran on: versions, processor, threads, device, time of start."""
    import cv2
    import numpy
    import timm
    import torch

    write_json(
        run.environment,
        {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {
                "facever": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "timm": timm.__version__,
                "numpy": numpy.__version__,
                "opencv": cv2.__version__,
            },
            "platform": platform.platform(),
            "processor": processor_name(),
            "cpus": os.cpu_count(),
            "threads": threads,
            "processes": world(),
            "device": device,
            "gpu": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        },
    )


def _is_before(line: str, step: int, epoch: int) -> bool:
    try:
        values = parse_json(line)
        evaluated = values["epoch"] if values["kind"] == "development" else 0
        return bool(values["step"] <= step and evaluated <= epoch)
    except (ValueError, KeyError, TypeError):  # a line that a kill cut short
        return False


__getattr__ = former_names(
    __name__,
    {
        "read_metrics": Former(
            "facever.core.run_folder:read_metrics", "facever.core.run_folder.read_metrics"
        )
    },
)
