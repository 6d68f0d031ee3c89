"""`facever train`: a configuration in, a run folder out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from facever.training.run import Run
    from facever.training.trainer import Trainer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    config: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation
        typer.Argument(help="A YAML file, or the name of one in configs/. Optional with --resume."),
    ] = None,
    overrides: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(help="key=value, for example optimizer.lr=0.001 heads.0.margin=0.4"),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The run folder to make (default: runs/NAME-OF-CONFIG)."),
    ] = None,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where named data sets are (default: $FACEVER_DATA, ./data)."),
    ] = None,
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Continue this run folder from its last checkpoint."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Write a trace of ten updates; say what takes time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an identity model: checkpoints, metrics and model.safetensors in a run folder."""
    from facever.config import load
    from facever.console import say
    from facever.errors import ConfigError
    from facever.processes import is_main, started
    from facever.training.config import TrainConfig, require_same
    from facever.training.interruption import Interrupted
    from facever.training.run import Run
    from facever.training.trainer import Trainer

    def configuration() -> TrainConfig:
        if resume is None:
            if config is None:
                raise ConfigError("which configuration? facever train CONFIG.yaml, or --resume RUN")
            return load(TrainConfig, config_path(config), overrides or [])
        if config is not None and "=" in config:
            raise ConfigError(
                f"{config}: a run goes on with its own configuration, leave changes away"
            )
        if out is not None:
            raise ConfigError("--resume goes on in its own folder: leave --out away")
        saved = load(TrainConfig, Run.open(resume).config)
        if config is not None:
            wanted = load(TrainConfig, config_path(config), overrides or [])
            require_same(wanted, saved, resume)
        return saved

    wanted = configuration()
    status = 0
    with started(wanted.device):
        if resume is None:
            trainer = Trainer.start(wanted, _run_folder(out, config), data)
        else:
            trainer = Trainer.resume(resume, data)
        try:
            run = trainer.fit(profile)
        except Interrupted as stopped:  # all processes were, together
            say(str(stopped))
            status = stopped.exit_status
        else:
            if is_main():
                _print_result(trainer, run, as_json)
    raise typer.Exit(status)


def _run_folder(out: Path | None, config: str | None) -> Path:
    """Return the folder of a new run, the same for all processes."""
    from facever.processes import from_main
    from facever.training.run import free_run_folder

    return from_main(out or free_run_folder(config_path(str(config)).stem))


def _print_result(trainer: "Trainer", run: "Run", as_json: bool) -> None:
    import json

    if not as_json:
        print(f"model: {run.model}")
        print(f"next:  facever embed {run.path} DATA --out EMBEDDINGS")
        return
    position = trainer.position
    print(
        json.dumps(
            {
                "run": str(run.path),
                "model": str(run.model),
                "updates": position.update,
                "epochs": position.epoch,
                "stopped_early": position.epoch < trainer.config.epochs,
                "best": {
                    "by": trainer.config.best_by,
                    "value": position.best,
                    "weights": position.best_weights,
                },
                "failed_images": position.failed_images,
            }
        )
    )


def config_path(name: str) -> Path:
    """Return the configuration file: a path, or the name of one in the project's `configs/`."""
    path = Path(name)
    if path.is_file() or path.suffix:
        return path
    shipped = Path("configs") / f"{name}.yaml"
    return shipped if shipped.is_file() else path
