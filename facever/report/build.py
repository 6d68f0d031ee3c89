"""Complete reports of an embedding set, of a training run, or of several models."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from facever.core.run_folder import RunFolder
from facever.embeddings.embedding_set import META, EmbeddingSet
from facever.errors import ConfigError, DataError, EvaluationError
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.inputs import rows_where
from facever.evaluation.one_to_one.compare import compare
from facever.evaluation.one_to_one.verification import verification
from facever.render.blocks import Cell, Facts, Section
from facever.render.numbers import rate_text, short_rate
from facever.render.page import Report, Tile
from facever.report import accuracy, training
from facever.report.measured import MeasuredEmbeddings, measure_embeddings
from facever.report.side_by_side import Contestant, side_by_side


def build(
    source: Path,
    *,
    far: Sequence[float] | None = None,
    where: Sequence[str] = (),
    groups: Sequence[str] = (),
    camera: str | None = None,
    thumbnails: bool = True,
) -> Report:
    """Return the report of an embedding set or of a run folder.

    Args:
        source: Folder of an embedding set or of a run. A run is measured on RUN/embeddings.
        far: False accept rates at which TAR is measured.
        where: Conditions "column=value"; only matching rows are measured.
        groups, camera: As for `measure_embeddings`.
        thumbnails: Whether to show pictures.

    Raises:
        DataError: `source` is neither of the two, or damaged.
        EvaluationError: The trials cannot be measured.
        ConfigError: Measurements are requested of a run without embeddings.
    """
    folder = _embeddings_of(source)
    is_run = folder != source
    if is_run and not folder.exists():
        if far is not None or where or groups or camera:
            raise ConfigError(_nothing_to_measure(source))
        return from_run(source, thumbnails=thumbnails)
    measured = measure_embeddings(
        rows_where(EmbeddingSet.load(folder), where),
        far=DEFAULT_FARS if far is None else far,
        groups=groups,
        camera=camera,
    )
    if is_run:
        return from_run(source, measured, thumbnails=thumbnails)
    return from_embeddings(measured, thumbnails=thumbnails)


def build_side_by_side(
    sources: Sequence[Path], *, far: Sequence[float] | None = None, where: Sequence[str] = ()
) -> Report:
    """Return one report of several models; each is compared with the first on the same pairs.

    Args:
        sources: Two or more folders: embedding sets, or runs with embeddings.
        far: False accept rates at which TAR is measured.
        where: Conditions "column=value"; only matching rows are measured.

    Raises:
        DataError: A source is neither of the two, or damaged.
        EvaluationError: The trials cannot be measured.
        ConfigError: A run has no embeddings.
    """
    fars = DEFAULT_FARS if far is None else far
    rows = []
    for source in sources:
        folder = _embeddings_of(source)
        if folder != source and not folder.exists():
            raise ConfigError(_nothing_to_measure(source))
        rows.append(rows_where(EmbeddingSet.load(folder), where))
    contestants: list[Contestant] = []
    for source, embeddings in zip(sources, rows, strict=True):
        result = verification(embeddings, far=fars, detail=True)
        comparison, why_not = None, ""
        if contestants:
            try:
                comparison = compare(rows[0], embeddings, far=fars)
            except EvaluationError as error:
                why_not = str(error)
        contestants.append(Contestant(str(source), result, comparison, why_not))
    return side_by_side(contestants)


def _embeddings_of(source: Path) -> Path:
    """Return the folder of a source's embeddings, whether it exists or not."""
    run = RunFolder(source)
    if run.config.is_file():
        return run.embeddings
    if (source / META).is_file():
        return source
    if not source.exists():
        raise DataError(f"{source} does not exist: give a run folder or a folder of embeddings")
    raise DataError(
        f"{source} is neither a run folder (no {run.config.name}) nor a folder of embeddings "
        f"(no {META})"
    )


def _nothing_to_measure(run: Path) -> str:
    folder = RunFolder(run).embeddings
    return (
        f"no embeddings to measure at {folder}: make them with "
        f"`facever embed {run} DATA --out {folder}`"
    )


def from_embeddings(
    measured: MeasuredEmbeddings, *, extra: Sequence[Section] = (), thumbnails: bool = True
) -> Report:
    """Return the report of an embedding set.

    Args:
        measured: The set and its results.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether to show pictures.
    """
    meta, result = measured.embeddings.meta, measured.verification
    environment = Section("environment", "Environment", [Facts(_origin(measured.embeddings))])
    return Report(
        title=f"Verification on {meta.dataset or 'embeddings'}",
        verdict=accuracy.verdict(result),
        meaning=accuracy.meaning(result),
        tiles=accuracy.tiles(result),
        sections=[*measured.sections(thumbnails), *extra, environment],
        data=measured.to_dict(),
    )


def from_run(
    run: Path,
    measured: MeasuredEmbeddings | None = None,
    *,
    extra: Sequence[Section] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of a training run, with its evaluation if there is one.

    Args:
        run: The run folder.
        measured: Results on embeddings by the model; if None, only the training is reported.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether to show pictures.
    """
    record = training.TrainingRecord.read(run)
    about_training, environment = training.sections(record, thumbnails)
    if measured is None:
        verdict, meaning, tiles = _unmeasured(record)
        sections = [*extra, about_training, environment]
    else:
        result = measured.verification
        verdict, meaning = accuracy.verdict(result), accuracy.meaning(result)
        tiles = accuracy.tiles(result)
        origin = Facts(_origin(measured.embeddings), "Measured embeddings")
        environment = replace(environment, blocks=[*environment.blocks, origin])
        sections = [*measured.sections(thumbnails), *extra, about_training, environment]
    data = {} if measured is None else measured.to_dict()
    return Report(training.describe(record), verdict, meaning, tiles, sections, data)


def _unmeasured(record: training.TrainingRecord) -> tuple[str, str, list[Tile]]:
    """Return the headline of a run that was measured on its development people only."""
    best = record.chosen
    embed = f"facever embed {record.folder.path} DATA --out {record.folder.embeddings}"
    if best is None:
        return "Not measured yet", f"To measure it, run `{embed}`, then make this report again.", []
    figure = str(record.setting("best_by"))
    people, images, _ = record.people("development")
    shown = [
        Tile(f"development {training.figure_name(name)}", short_rate(float(best[name])))
        for name in training.development_figures(record.development)
        if pd.notna(best[name])  # missing: not measurable
    ]
    return (
        f"Development {training.figure_name(figure)} {rate_text(float(best[figure]))} at update "
        f"{int(best['step']):,}, on {people:,} people ({images:,} images)",
        "Measured on the people on whom the weights were selected: this figure is too optimistic. "
        "For an unbiased figure, embed people that were not used for training: run "
        f"`{embed}`, then make this report again.",
        shown,
    )


def _origin(rows: EmbeddingSet) -> list[tuple[str, Cell]]:
    meta = rows.meta
    facts: list[tuple[str, Cell]] = [
        ("fingerprint", meta.fingerprint),
        ("dimension", str(meta.dimension)),
        ("compared by", meta.metric),
        ("data set", meta.dataset or "not named"),
    ]
    nested = {"preprocessing": meta.preprocessing, "options": meta.options}
    return facts + list(training.flat({**nested, "versions": meta.versions}))
