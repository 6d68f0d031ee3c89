"""Whole reports: of an embedding set, of a training run, or of whichever of the two a folder is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from facever.errors import ConfigError, DataError
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.verification import DEFAULT_FARS
from facever.evaluation.protocols.sets import rows_where
from facever.evaluation.protocols.verification import evaluate_verification
from facever.report import accuracy, training
from facever.report.numbers import rate, rate_text
from facever.report.page import Cell, Facts, Report, Section, Tile
from facever.vectors.embedding_set import META, EmbeddingSet

EMBEDDINGS = "embeddings"  # the folder of a run in which its own evaluation lies


def build(
    source: Path,
    *,
    far: Sequence[float] | None = None,
    where: Sequence[str] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of an embedding set or of a run folder.

    Args:
        source: The folder of either; a run is measured on the embeddings in RUN/embeddings.
        far: The false accept rates at which TAR is wanted.
        where: Each "column=value": only such rows are measured.
        thumbnails: Whether pictures are shown.

    Raises:
        DataError: `source` is neither, or is damaged.
        EvaluationError: Trials that cannot be measured.
        ConfigError: `far` or `where` for a run without embeddings.
    """
    is_run = (source / training.CONFIG).is_file()
    folder = source / EMBEDDINGS if is_run else source
    if not is_run and not (source / META).is_file():
        if not source.exists():
            raise DataError(f"nothing at {source}: give a run folder or a folder of embeddings")
        raise DataError(
            f"{source} is neither a run folder (no {training.CONFIG}) nor a folder of embeddings "
            f"(no {META})"
        )
    if is_run and not folder.exists():
        if far is not None or where:
            raise ConfigError(
                f"nothing to measure: there are no embeddings at {folder} "
                f"(facever embed {source} DATA --out {folder})"
            )
        return from_run(source, thumbnails=thumbnails)
    rows = rows_where(EmbeddingSet.load(folder), where)
    fars = DEFAULT_FARS if far is None else far
    if is_run:
        return from_run(source, embeddings=rows, far=fars, thumbnails=thumbnails)
    return from_embeddings(rows, far=fars, thumbnails=thumbnails)


def from_embeddings(
    embeddings: EmbeddingSet,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    result: VerificationResult | None = None,
    extra: Sequence[Section] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of an embedding set.

    Args:
        embeddings: The set.
        far: The false accept rates at which TAR is wanted, where `result` is not given.
        result: What was measured on it; by default all pairs are compared.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether pictures are shown.
    """
    measured = result or evaluate_verification(embeddings, far=far)
    environment = Section("environment", "Environment", [Facts(_origin(embeddings))])
    return Report(
        title=f"Verification on {embeddings.meta.dataset or 'embeddings'}",
        verdict=accuracy.verdict(measured),
        meaning=accuracy.meaning(measured),
        tiles=accuracy.tiles(measured),
        sections=[*accuracy.sections(measured, embeddings, thumbnails), *extra, environment],
    )


def from_run(
    run: Path,
    *,
    embeddings: EmbeddingSet | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    result: VerificationResult | None = None,
    extra: Sequence[Section] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of a training run, with its evaluation where there are embeddings.

    Args:
        run: The run folder.
        embeddings: What the model is measured on; without, only the training is reported.
        far: The false accept rates at which TAR is wanted, where `result` is not given.
        result: What was measured on the embeddings; by default all pairs are compared.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether pictures are shown.
    """
    record = training.RunRecord.read(run)
    about_training, environment = training.sections(record, thumbnails)
    if embeddings is None:
        verdict, meaning, tiles = _unmeasured(record)
        sections = [*extra, about_training, environment]
    else:
        measured = result or evaluate_verification(embeddings, far=far)
        verdict, meaning = accuracy.verdict(measured), accuracy.meaning(measured)
        tiles = accuracy.tiles(measured)
        origin = Facts(_origin(embeddings), "The embeddings measured")
        environment = replace(environment, blocks=[*environment.blocks, origin])
        evaluation = accuracy.sections(measured, embeddings, thumbnails)
        sections = [*evaluation, *extra, about_training, environment]
    return Report(training.describe(record), verdict, meaning, tiles, sections)


def _unmeasured(record: training.RunRecord) -> tuple[str, str, list[Tile]]:
    """Return the headline of a run that only its development people have judged."""
    best = record.chosen
    embed = f"facever embed {record.path} DATA --out {record.path / EMBEDDINGS}"
    if best is None:
        return "Not measured yet", f"To measure it: {embed}, then this report again.", []
    figure = str(record.setting("best_by"))
    people, images, _ = record.people("development")
    shown = [
        Tile(f"development {training.figure_name(name)}", rate(float(best[name])))
        for name in training.development_figures(record.development)
        if pd.notna(best[name])  # missing: not measurable
    ]
    return (
        f"Development {training.figure_name(figure)} {rate_text(float(best[figure]))} at update "
        f"{int(best['step']):,}, on {people:,} people ({images:,} images)",
        "Measured on the people by whom the weights were chosen, which flatters. For an honest "
        f"figure embed people whom the training never saw: {embed}, then this report again.",
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
