"""`facever heads`: list the training criteria with their parameters and papers."""

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def heads(
    name: Annotated[
        str | None,
        typer.Argument(help="Show one head with every parameter (default: list all heads)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the heads with their parameters, defaults, metric, sampling need and paper."""
    import json

    from facever.core.parameters import parameter_lines
    from facever.heads.catalogue import card, catalogue

    if name is not None:
        one = card(name)
        print(json.dumps(one.to_dict()) if as_json else one.to_text())
        return
    cards = catalogue()
    if as_json:
        print(json.dumps([each.to_dict() for each in cards]))
        return
    for each in cards:
        print(f"{each.to_text(common=False)}\n")
    print("every head:")
    for parameter in cards[0].common:
        for line in parameter_lines(parameter):
            print(f"    {line}")
    print(
        "\nin a configuration: heads: [{name: cosface, margin: 0.35}]; the losses of several "
        "heads are added"
    )
