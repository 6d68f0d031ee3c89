"""`facever evaluate`: measure embeddings, or the scores of any system. One file per command."""

import typer

from facever.cli.evaluate import (
    calibration,
    compare,
    identification,
    retrieval,
    scores,
    transfer,
    verification,
)
from facever.cli.evaluate.shared import MANY_FARS

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Measure embeddings, or the scores of any system.",
)
app.command(cls=MANY_FARS)(verification.verification)
app.command()(retrieval.retrieval)
app.command(cls=identification.MANY_INDEXES)(identification.identification)
app.command(cls=MANY_FARS)(compare.compare)
app.command()(calibration.calibration)
app.command(cls=MANY_FARS)(scores.scores)
app.command(cls=MANY_FARS)(transfer.transfer)
