"""Whole reports: of an embedding set, of a training run, or of whichever of the two a folder is."""

from collections.abc import Sequence
from pathlib import Path

from facever.errors import DataError
from facever.evaluation.protocols import evaluate_verification
from facever.evaluation.result import VerificationResult
from facever.evaluation.verification import DEFAULT_FARS
from facever.report import accuracy, training
from facever.report.numbers import rate, rate_text
from facever.report.page import Cell, Facts, Report, Section, Tile
from facever.vectors.embedding_set import META, EmbeddingSet

EMBEDDINGS = "embeddings"  # the folder of a run in which its own evaluation lies


def build(source: Path, *, far: Sequence[float] = DEFAULT_FARS, thumbnails: bool = True) -> Report:
    """Return the report of an embedding set or of a run folder.

    Raises:
        DataError: `source` is neither, or is damaged.
        EvaluationError: Trials that cannot be measured.
    """
    if (source / training.CONFIG).is_file():
        return from_run(source, far=far, thumbnails=thumbnails)
    if (source / META).is_file():
        return from_embeddings(source, far=far, thumbnails=thumbnails)
    if not source.exists():
        raise DataError(f"nothing at {source}: give a run folder or a folder of embeddings")
    raise DataError(
        f"{source} is neither a run folder (no {training.CONFIG}) nor a folder of embeddings "
        f"(no {META})"
    )


def from_embeddings(
    embeddings: EmbeddingSet | Path,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    result: VerificationResult | None = None,
    extra: Sequence[Section] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of an embedding set.

    Args:
        embeddings: The set, or its folder.
        far: The false accept rates at which TAR is wanted.
        result: What was measured on it; by default all pairs are compared.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether pictures are shown.
    """
    rows = _load(embeddings)
    measured = result or evaluate_verification(rows, far=far)
    environment = Section("environment", "Environment", [Facts(_origin(rows))])
    return Report(
        title=f"Verification on {rows.meta.dataset or 'embeddings'}",
        verdict=accuracy.verdict(measured),
        meaning=accuracy.meaning(measured),
        tiles=accuracy.tiles(measured),
        sections=[*accuracy.sections(measured, rows, thumbnails), *extra, environment],
    )


def from_run(
    run: Path,
    *,
    embeddings: EmbeddingSet | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    result: VerificationResult | None = None,
    extra: Sequence[Section] = (),
    thumbnails: bool = True,
) -> Report:
    """Return the report of a run folder, with its evaluation where there are embeddings.

    Args:
        run: The run folder.
        embeddings: What the model is measured on; by default RUN/embeddings where that exists.
        far: The false accept rates at which TAR is wanted.
        result: What was measured on the embeddings; by default all pairs are compared.
        extra: Sections to follow those of the evaluation, such as `examples_section`.
        thumbnails: Whether pictures are shown.
    """
    record = training.RunRecord.read(run)
    if embeddings is None and (run / EMBEDDINGS).is_dir():
        embeddings = run / EMBEDDINGS
    about_training, environment = training.sections(record, thumbnails)
    if embeddings is None:
        verdict, meaning, tiles = _unmeasured(record)
        sections = [*extra, about_training, environment]
    else:
        rows = _load(embeddings)
        measured = result or evaluate_verification(rows, far=far)
        verdict, meaning = accuracy.verdict(measured), accuracy.meaning(measured)
        tiles = accuracy.tiles(measured)
        origin = Facts(_origin(rows), "The embeddings measured")
        sections = [
            *accuracy.sections(measured, rows, thumbnails),
            *extra,
            about_training,
            Section(
                environment.anchor,
                environment.title,
                [*environment.blocks, origin],
                environment.lead,
            ),
        ]
    return Report(training.describe(record), verdict, meaning, tiles, sections)


def _load(embeddings: EmbeddingSet | Path) -> EmbeddingSet:
    return embeddings if isinstance(embeddings, EmbeddingSet) else EmbeddingSet.load(embeddings)


def _unmeasured(record: training.RunRecord) -> tuple[str, str, list[Tile]]:
    """Return the headline of a run that only its development people have judged."""
    best = record.chosen
    embed = f"facever embed {record.path} DATA --out {record.path / EMBEDDINGS}"
    if best is None:
        return "Not measured yet", f"To measure it: {embed}, then this report again.", []
    figure = str(record.setting("best_by"))
    value = float(best[figure])
    tiles = [
        Tile(f"development {name}", rate(float(best[name])))
        for name in training.development_figures(record.development)
        if best[name] == best[name]  # not measurable there
    ]
    return (
        f"Development {figure} {rate_text(value)} at update {int(best['step']):,}",
        "Measured on the people by whom the weights were chosen, which flatters. For an honest "
        f"figure embed people whom the training never saw: {embed}, then this report again.",
        tiles,
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
