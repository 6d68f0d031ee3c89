"""Another number of epochs for a run that exists, and what follows from it."""

from pathlib import Path
from typing import Any

from facever.core.console import say
from facever.errors import ConfigError
from facever.training.config import TrainConfig, require_warm_up_within, schedules_of
from facever.training.saving.position import Position

FOLLOWING = ("cosine", "tanh", "polynomial")
"""The schedules that depend on the length of the training."""


def require_length(run: Path, epochs: int, position: Position) -> None:
    """Refuse a number of epochs that a run has passed.

    Raises:
        ConfigError: Names the epochs that are trained.
    """
    begun = position.epoch + (position.batch > 0)
    if epochs < begun:
        done = f"{position.epoch} epochs" + (" and a part of another" if position.batch else "")
        raise ConfigError(f"{run} has trained {done}: epochs must be {begun} or larger")


def with_epochs(config: TrainConfig, epochs: int, updates_per_epoch: int) -> TrainConfig:
    """Return the configuration of a run for another number of epochs.

    The pre-training of adversaries ends after the same update as before.

    Raises:
        ConfigError: A warm-up is longer.
    """
    if epochs == config.epochs:
        return config
    changed: dict[str, Any] = {"epochs": epochs}
    if config.adversarial is not None:
        before, now = config.epochs * updates_per_epoch, epochs * updates_per_epoch
        changed["adversarial"] = config.adversarial.resized(before, now)
    resized = config.model_copy(update=changed)
    require_warm_up_within(resized)
    return resized


def say_length(run: Path, before: TrainConfig, now: TrainConfig, position: Position) -> None:
    """Say in one line that a run has another length, and what follows; patience starts anew."""
    following = [
        f"{name} ({schedule.name})"
        for name, schedule, _ in schedules_of(now)
        if schedule.name in FOLLOWING
    ]
    parts = [f"{run}: {now.epochs} epochs instead of {before.epochs}, {position.epoch} are trained"]
    if following:
        parts.append(f"learning rates are computed for the new length: {', '.join(following)}")
    else:
        parts.append("learning rates do not depend on the length")
    if now.adversarial != before.adversarial:
        parts.append("the pre-training ends after the same update as before")
    if now.patience is not None and position.since_best >= now.patience:
        position.since_best = 0
        parts.append("it was stopped early: patience is counted anew")
    say("; ".join(parts))
