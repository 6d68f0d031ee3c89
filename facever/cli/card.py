"""`facever card`: write the model card of a run."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson, Fars
from facever.cli.several import is_number, several

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=several("--far", is_number))
def card(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    on: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings by this model, of people not used for training, to measure it on. "
            "[default: RUN/embeddings, if present]",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Also give error rates for each value of this column. Repeatable."),
    ] = None,
    far: Fars = None,
    licence: Annotated[
        str | None,
        typer.Option(help="The model's licence, as model hubs name it, such as apache-2.0."),
    ] = None,
    intended_use: Annotated[
        str | None, typer.Option(help="What the model is meant for, in a sentence.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing card.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write MODEL_CARD.md into a run: data, recipe, figures with intervals, groups, threshold.

    What was not measured is said to be so. The front matter is that of model hubs. Paths and names
    of people are not in the card.
    """
    import json

    from facever.report.card import write_card

    path = write_card(
        run,
        on=on,
        groups=group or [],
        far=far,
        licence=licence,
        intended_use=intended_use,
        overwrite=overwrite,
    )
    print(json.dumps({"card": str(path)}) if as_json else f"card: {path}")
