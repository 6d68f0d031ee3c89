"""`facever quickstart`: all steps on a small data set, with a report."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def quickstart(
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder (default: runs/quickstart)."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Approximate time limit in minutes.")] = 3.0,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of data sets or of images (default: $FACEVER_DATA, ./data, else a "
            "downloaded data set)."
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="A folder of photos to try a public model on at the end (default: the raw "
            "sample in $FACEVER_DATA, if present)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on some people, then embed, enroll, search, verify and evaluate other people."""
    from facever.cli.evaluate.shared import show
    from facever.quickstart.quickstart import quickstart as go
    from facever.training.interruption import Interrupted
    from facever.training.run import free_run_folder

    try:
        done = go(out or free_run_folder("quickstart"), minutes, data, photos)
    except Interrupted as stopped:
        print(stopped)
        raise typer.Exit(stopped.exit_status) from stopped
    show(done, as_json)
