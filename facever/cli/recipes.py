"""`facever recipes`: list the configurations that `facever train` accepts by name."""

import typer

from facever.cli.options import AsJson

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def recipes(
    as_json: AsJson = False,
) -> None:
    """List the recipes: configurations that `facever train NAME` accepts."""
    import json

    from facever.render.text import table
    from facever.training.recipes import recipes

    found = recipes()
    if as_json:
        print(json.dumps([one.to_dict() for one in found]))
        return
    print(table(["name", "description"], [(one.name, one.summary) for one in found]))
