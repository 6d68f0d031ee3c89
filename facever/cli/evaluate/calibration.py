"""`facever evaluate calibration`: convert scores to likelihood ratios and probabilities."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import (
    Columns,
    Distances,
    Mask,
    Media,
    Metric,
    Pairs,
    Quality,
    Rows,
    SaveCalibration,
    Templates,
    Where,
    is_scores,
    keep_calibration,
    load,
    of_scores,
    show,
)
from facever.cli.options import AsJson


def calibration(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A folder made by facever embed, or a file of embeddings or of scores with "
            "identities: see facever evaluate scores.",
        ),
    ],
    method: Annotated[
        str, typer.Option(help="Calibration method: logistic or isotonic.")
    ] = "logistic",
    prior: Annotated[
        float | None,
        typer.Option(
            help="The share of genuine pairs in operation, between 0 and 1. [default: their "
            "share in these trials]"
        ),
    ] = None,
    pairs: Pairs = None,
    similarity: Metric = None,
    where: Where = None,
    templates: Templates = None,
    media: Media = None,
    quality: Quality = None,
    rows: Rows = None,
    columns: Columns = None,
    mask: Mask = None,
    distances: Distances = False,
    save_calibration: SaveCalibration = None,
    as_json: AsJson = False,
) -> None:
    """Fit likelihood ratios on half of the people and measure them (Cllr) on the other half."""
    from facever import evaluate
    from facever.errors import EvaluationError

    of_files = of_scores(rows, columns, mask, distances, "refuse")
    if is_scores(source, of_files):
        if any(
            option is not None for option in (pairs, similarity, where, templates, media, quality)
        ):
            raise EvaluationError(
                f"{source} is a file of scores: omit --pairs, --similarity, --where and "
                "--templates, which apply to embeddings only"
            )
        result = evaluate.calibrate_scores(source, method=method, prior=prior, **of_files)
        keep_calibration(result, prior, save_calibration)
        show(result, as_json)
        return
    if of_files:
        raise EvaluationError(f"--{next(iter(of_files))} applies to a file of scores only: omit it")
    embeddings = load(source, where, templates, media, quality)
    result = evaluate.calibrate(
        embeddings, method=method, similarity=similarity, pairs=pairs, prior=prior
    )
    keep_calibration(result, prior, save_calibration)
    show(result, as_json)
