"""`facever bakeoff`: compare heads."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson, DataFolder, Fars, HeadsConfig, Overrides
from facever.cli.several import is_head, is_number, several

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=several("--heads", is_head, several("--far", is_number)))
def bakeoff(
    config: HeadsConfig,
    overrides: Overrides = None,
    heads: Annotated[
        list[str] | None,
        typer.Option(
            help="Heads: cosine rbf:scale=10,gamma=2 softmax+center:weight=0.008, or a YAML list."
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            help="Images for the evaluation: COLUMN=VALUE[,VALUE] (all pairs of these rows), a "
            "pair list, or lfw-view1. "
            "Repeatable."
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Number of trainings per head, each with its own seed.")
    ] = 5,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The baseline: the head that the others are compared with. [default: the first]"
        ),
    ] = None,
    far: Fars = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="An existing model to evaluate on the same trials, without training it: sface, "
            "an .onnx or .safetensors file, or a run folder. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for runs and results (default: runs/NAME-OF-CONFIG-bakeoff)."
        ),
    ] = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Train heads on the same data and budget; compare them on people not in the training data.

    After an interruption, the same command continues; it keeps finished runs.
    """
    import json

    from facever.core.console import say
    from facever.evaluation.defaults import DEFAULT_FARS
    from facever.render.text import terminal_width
    from facever.studies.bakeoff import bakeoff as run_bakeoff
    from facever.studies.bakeoff import read_configs
    from facever.training.interruption import Interrupted
    from facever.training.recipes import recipe_path

    path = recipe_path(config)
    contenders = read_configs(path, overrides or [], heads or [])
    folder = out or Path("runs") / f"{path.stem}-bakeoff"
    try:
        result = run_bakeoff(
            contenders,
            folder,
            test or [],
            seeds=seeds,
            baseline=baseline,
            far=far or DEFAULT_FARS,
            references=reference or [],
            data=data,
        )
    except Interrupted as stopped:
        say(f"{str(stopped).partition(';')[0]}; run the same command to continue")
        raise typer.Exit(stopped.exit_status) from stopped
    print(
        json.dumps(result.to_dict(), allow_nan=False)
        if as_json
        else result.to_text(terminal_width())
    )
    say(f"written: {folder}/bakeoff.json, bakeoff.txt and bakeoff.html; runs: {folder}/runs")
