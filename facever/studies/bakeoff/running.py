"""Run a bake-off: train heads on the same data and budget, and test them on the same people."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facever.config import load as load_config
from facever.core.console import say
from facever.core.files import write_text
from facever.core.json_files import write_json
from facever.core.run_folder import RunFolder, read_metrics
from facever.data.manifest import Manifest
from facever.data.sources import load as load_data
from facever.errors import ConfigError, unknown
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.overlap import find_overlap
from facever.models.extraction import LoadedModel
from facever.models.loading import load_model
from facever.render.page import write_report
from facever.studies.bakeoff.contenders import folder_name
from facever.studies.bakeoff.judging import TestPart, judge, known_people, test_part
from facever.studies.bakeoff.page import report
from facever.studies.bakeoff.result import (
    BakeoffResult,
    BakeoffRun,
    ReferenceRecord,
    compare_heads,
)
from facever.training.config import TrainConfig, require_same
from facever.training.run import Run
from facever.training.trainer import Trainer

NAME = "bakeoff"


def bakeoff(
    contenders: Mapping[str, TrainConfig],
    folder: str | Path,
    test: Sequence[str],
    *,
    seeds: int = 5,
    baseline: str | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    references: Sequence[str] = (),
    data: str | Path | None = None,
    level: float = 0.95,
) -> BakeoffResult:
    """Train every contender with every seed, measure all runs on the test part, and compare.

    Finished runs in `folder` are kept and an interrupted run is resumed: repeat the call after an
    interruption, or with more heads, more seeds, another test or baseline.

    Args:
        contenders: Configurations by label, which differ in their heads only.
        folder: FOLDER/runs/LABEL/seed-N are ordinary runs; bakeoff.json, bakeoff.txt and
            bakeoff.html contain the result.
        test: The test images; see `judging.test_part`.
        seeds: Number of seeds, counted up from the configuration's seed.
        baseline: Label of the baseline; the first contender by default.
        far: False accept rates at which TAR is measured.
        references: Models that are measured on the same trials and not trained here: names of
            public models, .onnx or .safetensors files, runs.
        data: The `--data` option.
        level: Confidence level of the intervals.

    Raises:
        ConfigError: There is one contender only, the baseline is unknown, or a run in `folder` was
            made with another configuration.
        ModelError: A reference cannot be loaded.
        DataError, EvaluationError: Errors of the test part and the trainings.
    """
    folder = Path(folder)
    if len(contenders) < 2:
        raise ConfigError("a bake-off needs two heads or more: give --heads cosine cosface ...")
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: it must be 1 or more")
    first = next(iter(contenders))
    if any(config.precision == "auto" for config in contenders.values()):
        raise ConfigError(
            "precision 'auto' depends on the machine, but all heads must use the same precision: "
            "set it, for example precision=fp32"
        )
    if baseline is not None and baseline not in contenders:
        raise ConfigError(unknown("baseline", baseline, contenders))
    plan = [
        (label, config.model_copy(update={"seed": config.seed + number}))
        for number in range(seeds)
        for label, config in contenders.items()
    ]
    for label, config in plan:  # before the first training
        check_kept(_run_of(folder, label, config), config)
    models = {name: load_model(name) for name in dict.fromkeys(references)}
    shared = contenders[first].data
    manifest = load_data(shared.root, data, shared.layout)
    # other seeds may select other development people
    known = set().union(
        *(known_people(manifest, config) for label, config in plan if label == first)
    )
    part = test_part(manifest, test, known, data)
    records = []
    for number, (label, config) in enumerate(plan, start=1):
        say(f"bake-off {number}/{len(plan)}: {label}, seed {config.seed}")
        run = trained(_run_of(folder, label, config), config, data)
        records.append(_record(label, run, config, manifest, part, far))
    others = [
        _reference(name, model, folder, contenders[first], manifest, part, far)
        for name, model in models.items()
    ]
    result = compare_heads(records, part.name, baseline or first, level, others)
    write_json(folder / f"{NAME}.json", result.to_dict())
    write_text(folder / f"{NAME}.txt", result.to_text() + "\n")
    write_report(report(result), folder / f"{NAME}.html")
    return result


def _run_of(folder: Path, label: str, config: TrainConfig) -> Run:
    return Run(folder / "runs" / folder_name(label) / f"seed-{config.seed}")


def trained(run: Run, config: TrainConfig, data: str | Path | None) -> Run:
    """Return the finished run: kept, resumed or new.

    Raises:
        ConfigError: The run was made with another configuration.
    """
    check_kept(run, config)
    if run.model.is_file():
        return run
    if run.last.is_file():
        return Trainer.resume(run.path, data).fit()
    if run.config.is_file():  # stopped before its first checkpoint: start again
        shutil.rmtree(run.path)
    return Trainer.start(config, run.path, data).fit()


def check_kept(run: Run, config: TrainConfig) -> None:
    """Raise if a run exists that was made with another configuration."""
    if run.config.is_file():
        require_same(
            config,
            load_config(TrainConfig, run.config),
            run.path,
            "resume it with the same configuration, or choose another folder",
        )


def _record(
    label: str,
    run: Run,
    config: TrainConfig,
    manifest: Manifest,
    part: TestPart,
    far: Sequence[float],
) -> BakeoffRun:
    lines = read_metrics(run.metrics)
    train = [line for line in lines if line["kind"] == "train"]
    development = [line for line in lines if line["kind"] == "development"]
    accuracy = f"{config.heads[0].name}/accuracy"
    return BakeoffRun(
        label=label,
        seed=config.seed,
        path=str(run.path),
        judged=judge(run.path, run, config, manifest, part, far),
        updates=int(train[-1]["step"]) if train else 0,
        seconds=float(train[-1]["seconds"]) if train else 0.0,
        curve_name=f"development {config.best_by}" if development else "accuracy in training",
        curve=_curve(development, config.best_by) or _curve(train, accuracy),
    )


def _reference(
    name: str,
    model: LoadedModel,
    folder: Path,
    config: TrainConfig,
    manifest: Manifest,
    part: TestPart,
    far: Sequence[float],
) -> ReferenceRecord:
    say(f"bake-off: {name} (reference)")
    kept = RunFolder(folder / "references" / model.fingerprint[:16])
    return ReferenceRecord(
        label=name,
        fingerprint=model.fingerprint,
        judged=judge(name, kept, config, manifest, part, far),
        overlap=_overlap(model, part),
    )


def _overlap(model: LoadedModel, part: TestPart) -> str:
    """Return which of the test people a model was trained on, or what its authors state."""
    found = str(find_overlap(model.trained_on, part.manifest.identities, None))
    stated = getattr(getattr(model, "card", None), "trained_on", None)
    return f"{found}; its authors state: {stated}" if isinstance(stated, str) and stated else found


def _curve(lines: Sequence[Mapping[str, Any]], figure: str) -> list[tuple[int, float]]:
    """Return updates and values of the raw weights."""
    return [
        (int(line["step"]), float(line[figure]))
        for line in lines
        if line.get("weights", "raw") == "raw" and line.get(figure) is not None
    ]
