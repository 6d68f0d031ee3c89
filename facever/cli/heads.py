"""`facever heads`: the training criteria with their parameters and papers."""

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def heads(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the heads with their parameters, defaults, metric, sampling need and paper."""
    import json
    from dataclasses import asdict

    from facever.heads.catalogue import catalogue

    cards = catalogue()
    if as_json:
        print(json.dumps([asdict(card) for card in cards]))
        return
    for card in cards:
        print(f"{card.name}: {card.summary}")
        print(f"    paper: {card.paper}")
        need = card.images_per_identity
        sampling = "any batch" if need == 1 else f"{need} or more images of each identity"
        print(f"    compare by: {card.metric}; sampling: {sampling}")
        for parameter in card.parameters:
            bounds = f" ({parameter.bounds})" if parameter.bounds else ""
            print(f"    {parameter.name} = {parameter.default}: {parameter.description}{bounds}")
        print()
    print("in a configuration: heads: [{name: cosface, margin: 0.35}]; several are summed")
