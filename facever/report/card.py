"""The model card of a run: MODEL_CARD.md, with the front matter that model hubs read.

What is not known is said to be so. Paths, hosts and names of people are not in it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from facever._version import __version__
from facever.core.files import write_text
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.operating_point import OperatingPoint
from facever.render.blocks import Block, Cell, Facts, Note, Section, Table
from facever.render.markdown import sections_markdown
from facever.render.numbers import count, rate, rate_text
from facever.report.training import (
    TrainingRecord,
    describe,
    development_figures,
    figure_name,
    flat,
)

NOT_MEASURED = "not measured"
NOT_STATED = "not stated"
_PATHS = ("data.root", "model.pretrained", "mlflow")  # may name folders of a machine


def write_card(
    run: str | Path,
    *,
    on: str | Path | None = None,
    groups: Sequence[str] = (),
    far: Sequence[float] | None = None,
    licence: str | None = None,
    intended_use: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the model card of a run into its folder.

    Args:
        run: The run folder.
        on: An embedding set of this model, to measure it on; by default RUN/embeddings where it
            exists.
        groups: Columns of that set; error rates are given for each of their values.
        far: False accept rates at which it is measured.
        licence: The licence of the model, as hubs name it, such as "apache-2.0".
        intended_use: What the model is meant for, in plain text.
        overwrite: Replace an existing card.

    Returns:
        The card's path.

    Raises:
        ConfigError: There is a card, or groups without anything to measure.
        DataError: `run` is not a run folder, or a file in it is damaged.
        EvaluationError: The set cannot be measured.
    """
    record = TrainingRecord.read(Path(run))
    path = record.folder.card
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists and may have been edited: give --overwrite to replace it")
    folder = Path(on) if on is not None else record.folder.embeddings
    result = None
    if on is not None or folder.is_dir():
        rows = EmbeddingSet.load(folder)
        result = verification(rows, far=DEFAULT_FARS if far is None else far, groups=groups)
    elif groups or far:
        raise ConfigError(
            f"nothing to measure: give --on EMBEDDINGS (made by facever embed {run} DATA)"
        )
    write_text(path, card_text(record, result, licence, intended_use))
    return path


def card_text(
    record: TrainingRecord,
    result: VerificationResult | None,
    licence: str | None,
    intended_use: str | None,
) -> str:
    """Return the text of a model card.

    Args:
        record: The training.
        result: Verification of people that the model was not trained on; None: not measured.
        licence: None: not stated.
        intended_use: None: not stated.
    """
    front = yaml.safe_dump(_front_matter(record, result, licence), sort_keys=False)
    sections = [
        _model(record, licence),
        Section("use", "Intended use", [Note(intended_use or _no_use())]),
        _data(record),
        _development(record),
        *_measured(result),
        _threshold(record),
        _recipe(record),
    ]
    title = f"# {describe(record)}"
    return f"---\n{front}---\n\n{title}\n\n{sections_markdown(sections)}\n"


def _front_matter(
    record: TrainingRecord, result: VerificationResult | None, licence: str | None
) -> dict[str, Any]:
    """Return what hubs read: licence, library, task, data sets, figures."""
    datasets = sorted({name for use in ("train", "development") for name in _datasets(record, use)})
    values: dict[str, Any] = {
        "license": licence or "unknown",
        "library_name": "facever",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["face-verification", "re-identification", "metric-learning", "biometrics"],
        "datasets": datasets,
    }
    if result is not None:
        figures = [{"type": "auc", "value": float(result.auc.value), "name": "AUC"}]
        figures += [
            {"type": "tar", "value": float(one.tar), "name": f"TAR at FAR {one.far_target:g}"}
            for one in result.operating_points
        ]
        measured = {
            "task": {"type": "image-feature-extraction", "name": "verification"},
            "dataset": {"type": "custom", "name": result.dataset or "not named"},
            "metrics": figures,
        }
        values["model-index"] = [{"name": record.name, "results": [measured]}]
    return values


def _datasets(record: TrainingRecord, use: str) -> list[str]:
    named = record.people(use)[2]
    return named.split(", ") if named else []


def _model(record: TrainingRecord, licence: str | None) -> Section:
    size = record.setting("model.preprocessing.size")
    versions = record.environment.get("versions")
    rows: list[tuple[str, Cell]] = [
        ("backbone", str(record.setting("model.backbone") or NOT_STATED)),
        ("embedding", f"{record.setting('model.embedding_size')} numbers, unit length"),
        ("input", f"{size[1]} x {size[0]} pixels" if isinstance(size, list) else NOT_STATED),
        ("alignment of faces", str(record.setting("model.alignment") or "none")),
        ("pretrained weights", _pretrained(record.setting("model.pretrained"))),
        ("trained by", ", ".join(str(head["name"]) for head in record.heads)),
        ("fingerprint", record.fingerprint or "no model.safetensors yet"),
        ("licence", licence or NOT_STATED),
        ("trained with facever", str((versions or {}).get("facever", NOT_STATED))),
        ("card written by facever", __version__),
    ]
    return Section("model", "Model", [Facts(rows)])


def _pretrained(value: object) -> str:
    if value is True:
        return "yes: those of timm for this backbone; see its own card and licence"
    return "yes: from a file" if value else "none"


def _no_use() -> str:
    return (
        "Not stated. Vectors of faces are biometric data. Before decisions about people are based "
        "on this model, measure it on people like those that it will see (facever evaluate), in "
        "groups too, and set a threshold from enough trials."
    )


def _data(record: TrainingRecord) -> Section:
    rows: list[tuple[str, Cell]] = []
    for use, label in (("train", "trained on"), ("development", "choices made on")):
        people, images, datasets = record.people(use)
        rows.append(
            (label, f"{images:,} images of {people:,} people ({datasets})" if people else "none")
        )
    rows.append(("licence and consent of the data", NOT_STATED))
    return Section("data", "Training data", [Facts(rows)])


def _development(record: TrainingRecord) -> Section:
    best = record.chosen
    if best is None:
        return Section("development", "Figures on development people", [Note(NOT_MEASURED + ".")])
    shown = [
        (figure_name(name), rate(float(best[name])) if pd.notna(best[name]) else NOT_MEASURED)
        for name in development_figures(record.development)
    ]
    rows: list[list[Cell]] = [[name, value] for name, value in shown]
    blocks: list[Block] = [
        Table("", ["figure", "value"], rows),
        Note(
            f"Of the weights that were chosen, after update {count(int(best['step'])).text}. They "
            "were chosen by these figures, which are therefore optimistic, and have no intervals."
        ),
    ]
    return Section("development", "Figures on development people", blocks)


def _measured(result: VerificationResult | None) -> list[Section]:
    if result is None:
        lead = (
            f"{NOT_MEASURED.capitalize()}. Embed people who were not used for training (facever "
            "embed RUN DATA --out RUN/embeddings) and write the card again."
        )
        return [
            Section("measured", "Verification", [Note(lead)]),
            Section("groups", "Groups of people", [Note(f"{NOT_MEASURED.capitalize()}.")]),
        ]
    sections = result.describe()
    named = str(result.overlap)  # it names people
    warnings = [Note(text, warning=True) for text in result.warnings if named not in text]
    first = sections[0]
    blocks = [_without_names(block) for block in first.blocks]
    if result.overlap is not None and result.overlap.brief:
        warnings.append(Note(f"{result.overlap.brief}: the figures flatter.", warning=True))
    found = [
        Section("measured", "Verification", [*blocks, *warnings], first.lead),
        *sections[1:],
    ]
    if result.groups_at is None:
        found.append(Section("groups", "Groups of people", [Note(f"{NOT_MEASURED.capitalize()}.")]))
    return found


def _without_names(block: Block) -> Block:
    """Return the facts without the row that names people of the training."""
    if isinstance(block, Facts):
        return replace(block, rows=[row for row in block.rows if row[0] != "training"])
    return block


def _threshold(record: TrainingRecord) -> Section:
    title = "Threshold"
    if not record.folder.operating_point.is_file():
        return Section("threshold", title, [Note("None: no operating point was set.")])
    point = OperatingPoint.load(record.folder.operating_point)
    span = point.interval
    between = NOT_MEASURED if span is None else f"[{rate_text(span.low)}, {rate_text(span.high)}]"
    rows: list[tuple[str, Cell]] = [
        ("kind", point.kind),
        ("accept if", f"{point.similarity} > {point.threshold:.4f}"),
        ("false match rate, wanted", f"{point.target_rate:g}"),
        ("false match rate, on development people", rate_text(point.achieved_rate)),
        ("its interval", between),
        ("trials", f"{point.trials.genuine:,} genuine, {point.trials.impostor:,} impostor"),
        ("data set", point.dataset or NOT_STATED),
        ("images", point.images or NOT_STATED),
    ]
    return Section("threshold", title, [Facts(rows)])


def _recipe(record: TrainingRecord) -> Section:
    rows: list[tuple[str, Cell]] = [
        (key, value) for key, value in flat(record.config) if not key.startswith(_PATHS)
    ]
    logged = [
        int(table["step"].max()) for table in (record.train, record.development) if len(table)
    ]
    if logged:
        rows.append(("last logged update", count(max(logged))))
    return Section("recipe", "Recipe", [Facts(rows)], "The whole configuration, without paths.")
