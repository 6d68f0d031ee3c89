"""`facever quickstart`: the whole way, and a report at the end."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def quickstart(
    out: Annotated[
        Path | None,
        typer.Option(help="Where everything is written (default: runs/quickstart)."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="About how long it may take.")] = 3.0,
    data: Annotated[
        Path | None,
        typer.Option(help="Data sets or images (default: $FACEVER_DATA, ./data, else fetched)."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="A folder of photos to try a public model on, at the end (default: the raw sample "
            "of $FACEVER_DATA, where it is)."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on some people, then embed, enroll, search, verify and evaluate others."""
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
