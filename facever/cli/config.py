"""`facever config`: every key of a training's configuration."""

from typing import Annotated

import typer

from facever.cli.options import AsJson

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def config(
    key: Annotated[
        str | None,
        typer.Argument(help="Explain one key, such as optimizer.lr (default: all keys, as YAML)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the configuration of a training with comments, or explain one key."""
    import json
    from dataclasses import asdict, replace

    from facever.core.parameters import find, parameter_lines, parameters_of, to_yaml
    from facever.training.config import TrainConfig

    parameters = parameters_of(TrainConfig.model_json_schema())
    if key is not None:
        one = find(parameters, key)
        lines = parameter_lines(replace(one, name=key))
        print(json.dumps(asdict(one)) if as_json else "\n".join(lines))
        return
    if as_json:
        print(json.dumps([asdict(one) for one in parameters]))
        return
    print("\n".join(to_yaml(parameters)))
