"""`facever.train`: a recipe or a configuration in, a run folder out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facever.config import dotted, load, parse, read_overrides, with_changes
from facever.core.processes import from_main, started
from facever.errors import ConfigError
from facever.training.config import TrainConfig, require_same
from facever.training.interruption import Interrupted
from facever.training.plan import TrainingPlan, rehearse
from facever.training.recipes import recipe_path
from facever.training.run import FinishedRun, Run, free_run_folder
from facever.training.trainer import Trainer


def train(
    recipe: str | Path | TrainConfig | None = None,
    out: str | Path | None = None,
    datasets: str | Path | None = None,
    *,
    data: str | Path | Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    profile: bool = False,
    overrides: Sequence[str] = (),
    **changes: Any,
) -> FinishedRun:
    """Train an identity model, or continue a run; under torchrun in several processes.

    Args:
        recipe: The name of a recipe (`facever recipes`), a YAML file, or a configuration. With
            `resume` it can be omitted; otherwise it must be the configuration of the run.
        out: The run folder to make; None: the first free one of runs/NAME, runs/NAME-2, ...
        datasets: Where named data sets are looked for first ($FACEVER_DATA and ./data follow).
        data: The images: a path or the name of a data set (`data.root`), or changes of `data`.
        resume: A run folder to continue from its last checkpoint. Of its configuration only
            `epochs` can change; what follows from it is printed in one line.
        profile: Write a trace of ten updates to the run's `profile/`.
        overrides: Changes as the command line takes them, each "key=value" with a YAML value.
        changes: Changes of the recipe: `epochs=20`, `optimizer={"lr": 1e-3}` or
            `**{"optimizer.lr": 1e-3}`. A mapping changes the keys that it names; the value of a key
            that is no configuration of its own, such as `heads` or `data.train`, is replaced.

    Returns:
        The finished run. It is a path too: `facever.load_model(run)`.

    Raises:
        ConfigError: An unknown recipe, key or value, or a change that a resume does not allow.
        DataError, ModelError, TrainingError: What cannot be trained.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.

    Example:
        >>> run = facever.train("folder", data="FACES", out="RUN", epochs=20)  # doctest: +SKIP
    """
    if data is not None:
        changes["data"] = data if isinstance(data, Mapping) else {"root": os.fspath(data)}
    wanted = {**read_overrides(overrides), **dotted(TrainConfig, changes)}
    epochs = None
    if resume is None:
        if recipe is None:
            raise ConfigError(
                "no configuration given: name a recipe (facever recipes) or a YAML file"
            )
        config = _configuration(recipe, wanted)
    else:
        if out is not None:
            raise ConfigError("a resumed run stays in its own folder: omit --out")
        config, epochs = _saved(Path(resume), recipe, wanted)
    stopped: Interrupted
    with started(config.device):
        if resume is None:
            folder = from_main(Path(out) if out else free_run_folder(_name(recipe)))
            trainer = Trainer.start(config, folder, datasets)
        else:
            trainer = Trainer.resume(resume, datasets, epochs)
        try:
            return trainer.fit(profile)
        except Interrupted as interrupted:  # all processes were, together
            stopped = interrupted
    raise stopped


def plan_training(
    recipe: str | Path | TrainConfig,
    out: str | Path | None = None,
    datasets: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
) -> TrainingPlan:
    """Return what `train` would do, after a few updates whose result is thrown away.

    It loads the data and the model as `train` does, so that it refuses what `train` refuses. No
    file is written.

    Args:
        recipe, out, datasets, overrides: As of `train`.

    Raises:
        ConfigError: An unknown recipe, key or value.
        DataError, ModelError, TrainingError: What cannot be trained.
    """
    config = _configuration(recipe, read_overrides(overrides))
    with started(config.device):
        folder = from_main(Path(out) if out else free_run_folder(_name(recipe)))
        return rehearse(Trainer.prepare(config, folder, datasets))


def _configuration(recipe: str | Path | TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    if isinstance(recipe, TrainConfig):
        if not changes:
            return recipe
        return parse(TrainConfig, with_changes(recipe.model_dump(mode="json"), changes))
    return load(TrainConfig, recipe_path(recipe), changes)


def _saved(
    folder: Path, recipe: str | Path | TrainConfig | None, changes: Mapping[str, Any]
) -> tuple[TrainConfig, int | None]:
    """Return the configuration of a run, and how many epochs it is to have instead of its own."""
    run = Run.open(folder)
    saved = load(TrainConfig, run.config)
    epochs = changes.get("epochs")
    if recipe is not None:
        wanted = _configuration(recipe, changes)
        kept = {} if epochs is None else {"epochs": saved.epochs}
        require_same(wanted.model_copy(update=kept), saved, folder)
    elif others := [key for key in changes if key != "epochs"]:
        raise ConfigError(
            f"a resumed run keeps its configuration but for epochs: omit {others[0]}, or start a "
            "new run"
        )
    if epochs is not None:
        epochs = load(TrainConfig, run.config, {"epochs": epochs}).epochs  # checked
    return saved, epochs


def _name(recipe: str | Path | TrainConfig | None) -> str:
    return Path(recipe).stem if isinstance(recipe, str | Path) else "train"
