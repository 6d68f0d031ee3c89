"""The folder of a training run: the names of all its files, and its log."""

from pathlib import Path
from typing import Any

from facever.core.files import read_regular
from facever.core.json_files import parse_json
from facever.errors import DataError


class RunFolder:
    """The paths of a run's files. It creates and checks nothing.

    Attributes:
        path: The folder.
        config: The resolved configuration.
        checkpoints: Folder of `last`, the newest state of the training, of its shards, and of
            `best`, the weights that are best on the development people.
        model: The exported model.
        onnx: The model as an ONNX file, if it was exported into the run.
        metrics: The log, a JSON value in each line; see `read_metrics`.
        tensorboard: Folder of events.
        mlflow: The run of MLflow that it logs to.
        card: The model card, if one was written.
        batch_picture: The first training batch.
        environment: Versions, processor, threads, device.
        identities: Identities of the training data and of the development data.
        operating_point: The 1:1 operating point of the development people.
        profile: Folder of a trace and the times of operations.
        embeddings: The embedding set on which a report measures the model.
        development: The embedding set of the development people, in a bake-off.
        lock: Lock file of a running training.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.config = path / "config.yaml"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.pt"
        self.best = self.checkpoints / "best.pt"
        self.model = path / "model.safetensors"
        self.onnx = path / "model.onnx"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.mlflow = path / "mlflow.json"
        self.card = path / "MODEL_CARD.md"
        self.batch_picture = path / "train_batch.png"
        self.environment = path / "environment.json"
        self.identities = path / "identities.parquet"
        self.operating_point = path / "operating_point.json"
        self.profile = path / "profile"
        self.embeddings = path / "embeddings"
        self.development = path / "development"
        self.lock = path / ".training.lock"

    def attributes(self, head: str = "attributes") -> Path:
        """Return the file of the classifier that a head "attributes" has learned.

        Args:
            head: Its name among the training's heads.
        """
        return self.path / f"{head}.safetensors"

    def __fspath__(self) -> str:
        """Return the folder: a run is a path."""
        return str(self.path)


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl; none if there is no such file.

    An incomplete last line (after a kill) is omitted.

    Raises:
        DataError: A line is damaged; the message has its number.
    """
    path = Path(path)
    if not path.exists():
        return []
    *whole, _ = read_regular(path).decode(errors="replace").split("\n")
    records = []
    for number, line in enumerate(whole, start=1):
        try:
            record: dict[str, Any] = parse_json(line)
            record["kind"], int(record["step"])
        except (ValueError, TypeError, KeyError) as error:
            message = f"{path} is damaged: line {number} is not a record of a training"
            raise DataError(message) from error
        records.append(record)
    return records
