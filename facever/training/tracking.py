"""Experiment trackers: where the numbers of a training's log also go.

A further tracker is a class here with `log` and `close`, a key of the configuration and a line in
`open_trackers`.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from facever.core.console import warn
from facever.core.extras import install_command, named_extras
from facever.core.files import naming
from facever.core.json_files import read_json, write_json
from facever.core.run_folder import RunFolder
from facever.errors import TrainingError
from facever.training.config import TrainConfig

_PARAMETERS = 100  # MLflow takes so many at once


class Tracker(Protocol):
    """What receives the numbers of a training, in the main process only."""

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of one line of metrics.jsonl.

        Args:
            kind: "train" or "development".
            step: Updates so far.
            values: By name, such as "loss"; finite.
        """

    def close(self) -> None:
        """Write what is not written yet."""


def open_trackers(config: TrainConfig, run: RunFolder) -> list[Tracker]:
    """Return the trackers that a configuration names; TensorBoard only where it is installed.

    Raises:
        MissingPackageError: MLflow is named and not installed.
        TrainingError: MLflow's store cannot be used.
    """
    found: list[Tracker] = []
    if config.tensorboard and (tensorboard := _tensorboard(run.tensorboard)) is not None:
        found.append(tensorboard)
    if config.mlflow is not None:
        found.append(MlflowTracker(config.mlflow, run, config))
    return found


class TensorBoard:
    """Event files of TensorBoard.

    Args:
        folder: Where they are written.
        writer: torch's SummaryWriter.
    """

    def __init__(self, folder: Path, writer: Any) -> None:
        self._folder, self._writer = folder, writer

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        with naming(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


def _tensorboard(folder: Path) -> TensorBoard | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        command = install_command("tensorboard")
        warn(f"TensorBoard is not installed: no events written ({command})")
        return None
    return TensorBoard(folder, SummaryWriter(str(folder)))


class MlflowTracker:
    """A run of MLflow. A resumed training continues it; steps that it repeats are there twice.

    Args:
        store: A folder, or an address that MLflow takes as a tracking URI.
        run: The run folder; its name is the name in MLflow.
        config: Its keys become MLflow's parameters.

    Raises:
        MissingPackageError: MLflow is not installed.
        TrainingError: The store cannot be used.
    """

    def __init__(self, store: str, run: RunFolder, config: TrainConfig) -> None:
        # MLflow refuses folders without the first, and sends usage statistics without the second.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with named_extras():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        self._error, self._store = MlflowException, store
        uri = store if "://" in store else Path(store).absolute().as_uri()
        with self._named():
            self._client = MlflowClient(tracking_uri=uri)
            self._run = self._continued(run, uri) or self._begin(run, uri, config)

    def _continued(self, run: RunFolder, uri: str) -> str | None:
        """Return the run that this training logged to before, in the same store."""
        if not run.mlflow.is_file():
            return None
        said = read_json(run.mlflow)
        if not isinstance(said, dict) or said.get("store") != uri:
            return None
        self._client.update_run(said["run"], status="RUNNING")
        return str(said["run"])

    def _begin(self, run: RunFolder, uri: str, config: TrainConfig) -> str:
        from mlflow.entities import Param

        name = "facever"
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else None
        made = self._client.create_run(
            number or experiment.experiment_id, run_name=run.path.absolute().name
        )
        found: str = made.info.run_id
        parameters = [Param(*one) for one in _flat(config.model_dump(mode="json"))]
        for first in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(found, params=parameters[first : first + _PARAMETERS])
        write_json(run.mlflow, {"store": uri, "run": found})
        return found

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        metrics = [
            Metric(f"{kind}/{name.replace('@', ' at ')}", float(value), now, step)
            for name, value in values.items()
        ]
        with self._named():
            self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """See `Tracker`."""
        with self._named():
            self._client.set_terminated(self._run)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn an error of MLflow into one line that names the store."""
        try:
            yield
        except self._error as error:
            raise TrainingError(f"mlflow: {self._store} cannot be used: {error}") from error


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value of a configuration with its dotted key, as text."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, str(value)
