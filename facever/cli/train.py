"""`facever train`: train a model from a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson, DataFolder

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    config: Annotated[
        str | None,
        typer.Argument(help="A recipe (facever recipes) or a YAML file. Optional with --resume."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Changes to the configuration: key=value, for example optimizer.lr=0.001 "
            "heads.0.margin=0.4."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Output run folder (default: runs/NAME-OF-CONFIG)."),
    ] = None,
    data: DataFolder = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue the training in this run folder. epochs=N changes its length."),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Write a trace of ten updates and report the time of each operation."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train nothing: print what would be trained on how many images and people, the "
            "memory it takes and the approximate time, from a few updates.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train an identity model; write checkpoints, metrics and model.safetensors to a run folder."""
    import json

    from facever.cli.evaluate.shared import show
    from facever.core.console import say
    from facever.core.processes import is_main
    from facever.training.interruption import Interrupted
    from facever.training.train import plan_training, train

    words = overrides or []
    if resume is not None and config is not None and "=" in config:
        words, config = [config, *words], None
    if dry_run:
        plan = plan_training(_new(config, resume, profile), out, data, overrides=words)
        if is_main():
            show(plan, as_json)
        return
    try:
        run = train(config, out, data, resume=resume, profile=profile, overrides=words)
    except Interrupted as stopped:
        say(str(stopped))
        raise typer.Exit(stopped.exit_status) from stopped
    if not is_main():
        return
    if as_json:
        print(json.dumps(run.to_dict()))
    else:
        print(f"model: {run.model}")
        print(f"next:  facever embed {run.path} DATA --out EMBEDDINGS")


def _new(config: str | None, resume: Path | None, profile: bool) -> str:
    """Return the configuration of a dry run.

    Raises:
        ConfigError: There is none, or an option is not of a dry run.
    """
    from facever.errors import ConfigError

    if resume is not None or profile:
        raise ConfigError("--dry-run is for a new training: omit --resume and --profile")
    if config is None:
        raise ConfigError("--dry-run needs a recipe (facever recipes) or a YAML file")
    return config
