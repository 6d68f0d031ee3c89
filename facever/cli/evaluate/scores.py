"""`facever evaluate scores`: measure the scores of any system."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import Distances, show
from facever.cli.options import AsJson, Fars


def scores(
    file: Annotated[
        Path,
        typer.Argument(
            help="A CSV, Parquet or npz file with the columns score, label[, identity_a, "
            "identity_b]."
        ),
    ],
    far: Fars = None,
    distances: Distances = False,
    as_json: AsJson = False,
) -> None:
    """Measure 1:1 verification from the scores of any system."""
    from facever import evaluate
    from facever.evaluation.defaults import DEFAULT_FARS

    result = evaluate.scores(file, far=list(far or DEFAULT_FARS), distances=distances)
    if far and not result.operating_points:
        result.at(max(far))  # raises the error
    show(result, as_json)
