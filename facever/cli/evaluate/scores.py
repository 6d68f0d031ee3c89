"""`facever evaluate scores`: measure the scores of any system."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import Columns, Distances, Failures, Mask, Rows, show
from facever.cli.options import AsJson, Fars


def scores(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE [IMPOSTOR_FILE]",
            help="A table (CSV, Parquet, npz) with the columns score, label[, identity_a, "
            "identity_b]; Bob's lines of 2, 4 or 5 columns; a genuine and an impostor file, or a "
            "folder with both; a NIST (BEE) .mtx; or a matrix in .npy or .npz with --rows.",
            show_default=False,
        ),
    ],
    rows: Rows = None,
    columns: Columns = None,
    mask: Mask = None,
    far: Fars = None,
    distances: Distances = False,
    failures: Failures = "refuse",
    as_json: AsJson = False,
) -> None:
    """Measure 1:1 verification from the scores of any system."""
    from facever import evaluate
    from facever.evaluation.defaults import DEFAULT_FARS

    result = evaluate.scores(
        files,
        rows=rows,
        columns=columns,
        mask=mask,
        far=list(far or DEFAULT_FARS),
        distances=distances,
        failures=failures,
    )
    if far and not result.operating_points:
        result.at(max(far))  # raises the error
    show(result, as_json)
