"""The sections of a training: configuration, data, curves and environment of a run folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from facever.config import read_yaml_file
from facever.core.console import duration
from facever.core.json_files import parse_json, read_json
from facever.core.run_folder import RunFolder, read_metrics
from facever.data.decode import ImageError, decode
from facever.errors import ConfigError, DataError
from facever.render import figures
from facever.render.blocks import Block, Cell, Facts, Figure, Note, Picture, Section, Sheet, Table
from facever.render.numbers import count, rate, rate_text
from facever.report.adversarial import adversarial_curves
from facever.report.thumbnails import data_uri

_SHEET = 800  # pixels
_NOT_FIGURES = {"kind", "step", "epoch", "weights"}


@dataclass(frozen=True)
class TrainingRecord:
    """The record of a training in the files of its run folder.

    Attributes:
        folder: The run folder.
        config: The resolved configuration.
        train: Logged updates: step, epoch, loss, lr, seconds and more.
        development: Evaluations on development identities: step, epoch, weights and their figures.
        alarms: Alarms of the training: step, alarm, head, message.
        environment: Versions, processor, threads, device; empty if not recorded.
        identities: Columns identity, dataset, images, use; empty if not recorded.
        fingerprint: Fingerprint of the exported model; None before the export.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    train: pd.DataFrame
    development: pd.DataFrame
    alarms: pd.DataFrame
    environment: Mapping[str, Any]
    identities: pd.DataFrame
    fingerprint: str | None

    @classmethod
    def read(cls, path: Path) -> "TrainingRecord":
        """Read a run folder, finished or not.

        Raises:
            DataError: `path` is not a run folder, or a file in it is damaged.
        """
        folder = RunFolder(path)
        if not folder.config.is_file():
            raise DataError(f"{path} is not a run folder: {folder.config.name} is missing")
        metrics = read_metrics(folder.metrics)
        try:
            config = read_yaml_file(folder.config, "configuration")
            listed = folder.identities.is_file()
            people = pd.read_parquet(folder.identities) if listed else pd.DataFrame()
            around = read_json(folder.environment) if folder.environment.is_file() else {}
        except (ConfigError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"the run folder {path} is damaged: {reason}") from error
        if not isinstance(config, dict) or not isinstance(around, dict):
            raise DataError(
                f"the run folder {path} is damaged: its YAML and JSON files must hold mappings"
            )
        return cls(
            folder=folder,
            config=config,
            train=_of_kind(metrics, "train"),
            development=_of_kind(metrics, "development"),
            alarms=_of_kind(metrics, "alarm"),
            environment=around,
            identities=people,
            fingerprint=_fingerprint(folder.model),
        )

    def setting(self, key: str) -> Any:
        """Return the value at a dotted key of the configuration; None if it is not set."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    @property
    def heads(self) -> list[dict[str, Any]]:
        """The configurations of the heads."""
        heads = self.setting("heads")
        return [head for head in heads if "name" in head] if isinstance(heads, list) else []

    @property
    def name(self) -> str:
        """Backbone and heads, such as "resnet10t + cosface"."""
        names = [str(head["name"]) for head in self.heads]
        if self.setting("adversarial") is not None:
            names.append("HTG")
        return " + ".join([str(self.setting("model.backbone")), *names])

    def people(self, use: str) -> tuple[int, int, str]:
        """Return the number of identities and images of a use, and the names of their data sets."""
        frame = self.identities
        if "use" in frame:
            frame = frame[frame["use"] == use]
        elif use != "train":
            frame = frame.iloc[:0]
        if not len(frame):
            return 0, 0, ""
        images = int(frame["images"].sum()) if "images" in frame else 0
        return len(frame), images, ", ".join(sorted(frame["dataset"].astype(str).unique()))

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The development record with the best value of `best_by`; None without one."""
        figure = self.setting("best_by")
        if figure not in self.development:
            return None
        values = self.development[figure].astype(float).dropna()
        if not len(values):
            return None
        best = values.argmin() if figure == "eer" else values.argmax()
        record: dict[str, Any] = self.development.loc[values.index].iloc[int(best)].to_dict()
        return record


def sections(run: TrainingRecord, thumbnails: bool = True) -> list[Section]:
    """Return the sections of one training run."""
    return [_training(run, thumbnails), _environment(run)]


def describe(run: TrainingRecord) -> str:
    """Return the model and its training data in one line."""
    people, images, dataset = run.people("train")
    trained = f", trained on {images:,} images of {people:,} people ({dataset})" if people else ""
    return f"{run.name}{trained}"


def development_figures(frame: pd.DataFrame) -> list[str]:
    """Return the names of the figures that the development records hold."""
    return [str(name) for name in frame if name not in _NOT_FIGURES]


def figure_name(name: str) -> str:
    """Return the display name of a figure in the log: AUC, TAR at FAR 1e-2, attributes hat."""
    if "/" in name:  # accuracies of attributes
        return name.replace("/", " ")
    kind, _, at = name.partition("@")
    return f"{kind.upper()} at FAR {at}" if at else kind.upper()


def _training(run: TrainingRecord, thumbnails: bool) -> Section:
    alarms = [Note(str(said), warning=True) for said in run.alarms.get("message", ())]
    blocks: list[Block] = [Facts(_facts(run)), *alarms, *_curves(run)]
    if len(run.development):
        blocks.append(_development_table(run))
    picture = run.folder.batch_picture
    if thumbnails and picture.is_file():
        blocks.append(_batch_picture(picture))
    blocks.append(Facts(list(flat(run.config)), "Complete configuration", folded=True))
    return Section(
        "training", "Training", blocks, "Configuration, training data and learning curves."
    )


def _facts(run: TrainingRecord) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [
        ("backbone", str(run.setting("model.backbone"))),
        ("embedding", f"{run.setting('model.embedding_size')} numbers"),
    ]
    size = run.setting("model.preprocessing.size")
    if isinstance(size, list):
        rows.append(("input", f"{size[1]} x {size[0]} pixels"))
    for head in run.heads:
        options = ", ".join(f"{key} {value}" for key, value in head.items() if key != "name")
        rows.append(("head", f"{head['name']}: {options}" if options else str(head["name"])))
    for use, label in (("train", "trained on"), ("development", "selection on")):
        people, images, dataset = run.people(use)
        if people:
            rows.append((label, f"{people:,} people, {images:,} images of {dataset}"))
    if len(run.train):
        rows += _budget(run)
    if (best := run.chosen) is not None:
        weights = f"{best['weights']} weights of " if best.get("weights") else ""
        figure = str(run.setting("best_by"))
        value = f"{figure_name(figure)} {rate_text(float(best[figure]))}"
        rows.append(("best", f"{weights}update {int(best['step']):,}, development {value}"))
    return rows


def _budget(run: TrainingRecord) -> list[tuple[str, Cell]]:
    last = run.train.iloc[-1]
    updates = int(last["step"])
    rows: list[tuple[str, Cell]] = [
        ("epochs planned", str(run.setting("epochs"))),
        ("updates", count(updates)),
    ]
    batch, seconds = run.setting("batch.size"), float(last.get("seconds", np.nan))
    if isinstance(batch, int) and np.isfinite(seconds) and seconds > 0:
        seen = updates * batch * int(run.setting("accumulation") or 1)
        rows += [
            ("images seen", count(seen)),
            ("time", f"{duration(seconds)}, {seen / seconds:,.0f} images/s including evaluations"),
        ]
    return rows


def _curves(run: TrainingRecord) -> Iterator[Block]:
    train, development = run.train, run.development
    if not len(train):
        yield Note("No training curves: no update has been logged yet.")
        return
    if "loss" in train:
        yield Figure(
            "Loss",
            figures.loss(train["step"], train["loss"]),
            "The training loss. It should decrease and level off.",
        )
    if "lr" in train:
        yield Figure(
            "Learning rate",
            figures.learning_rate(train["step"], train["lr"]),
            "The learning rate: warm-up, then the schedule.",
        )
    figure = run.setting("best_by")
    if figure in development:
        named = development.assign(weights=development.get("weights", ""))
        yield Figure(
            f"Development: {figure_name(figure)}",
            figures.development(
                {
                    str(name): (part["step"], part[figure])
                    for name, part in named.groupby("weights")
                },
                figure_name(figure),
            ),
            "Measured on the development people. The weights of the best point were kept, so this "
            "figure is slightly optimistic.",
        )
    yield from adversarial_curves(train)


def _development_table(run: TrainingRecord) -> Table:
    frame = run.development
    shown = development_figures(frame)
    fixed = [name for name in ("step", "epoch") if name in frame]
    rows: list[list[Cell]] = []
    for _, record in frame.iterrows():
        cells: list[Cell] = [count(int(record[name])) for name in fixed]
        cells.append(str(record.get("weights", "")))
        for name in shown:
            value = record[name]
            cells.append(rate(float(value)) if pd.notna(value) else "not measurable")
        rows.append(cells)
    headers = [
        *("update" if name == "step" else name for name in fixed),
        "weights",
        *map(figure_name, shown),
    ]
    return Table("All evaluations on the development people", headers, rows, folded=True)


def _batch_picture(path: Path) -> Sheet:
    try:
        picture = Picture("images of the first training batch", uri=data_uri(decode(path), _SHEET))
    except ImageError as error:
        picture = Picture("images of the first training batch", reason=str(error))
    return Sheet(
        "Input of the network",
        picture,
        "The first training batch after resizing and augmentation. Frames of one colour mark one "
        "person.",
    )


def _environment(run: TrainingRecord) -> Section:
    rows: list[tuple[str, Cell]] = [
        ("run folder", str(run.folder.path)),
        ("model fingerprint", run.fingerprint or f"no {run.folder.model.name} yet"),
        *flat(run.environment),
    ]
    return Section(
        "environment",
        "Environment",
        [Facts(rows)],
        "Versions, hardware and settings, for reproduction.",
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Yield the leaves of nested mappings by dotted key, without None."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield from flat(
                {str(place): item for place, item in enumerate(value)}, f"{prefix}{key}."
            )
        elif value is not None:
            yield f"{prefix}{key}", str(value)


def _of_kind(metrics: list[dict[str, Any]], kind: str) -> pd.DataFrame:
    return pd.DataFrame([record for record in metrics if record.get("kind") == kind])


def _fingerprint(path: Path) -> str | None:
    """Return the fingerprint in a model file's header, without loading the model."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return str(parse_json(metadata["facever"])["fingerprint"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged or was not saved by facever") from error
