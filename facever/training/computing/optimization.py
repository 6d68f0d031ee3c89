"""Parameter groups, and timm's optimizers and schedules over them."""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from facever.config import Config
from facever.errors import ConfigError, unknown
from facever.heads.base import Head

if TYPE_CHECKING:
    from timm.scheduler.scheduler import Scheduler

FUSED = {"sgd", "momentum", "adam", "adamw"}
"""timm's names of optimizers that PyTorch has in few kernels; a step of theirs is what it was."""


Epochs = Annotated[float, Field(ge=0, le=1e6)]


class NetworkOptimizerConfig(Config):
    """A timm optimizer and what it is told."""

    name: str = Field("adamw", description="any name of timm.optim.list_optimizers()")
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.05, ge=0, description="not applied to biases, norms and scales")
    momentum: float = Field(0.9, ge=0, lt=1, description="for the optimizers that have one")
    fused: Literal["auto"] | bool = Field(
        "auto", description="compute a step in few kernels; auto: if the optimizer supports it"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name in FUSED:  # the usual ones: timm.optim takes a second to import
            return name
        from timm.optim import list_optimizers

        if name not in list_optimizers():
            raise ValueError(unknown("optimizer", name, list_optimizers()))
        return name


class OptimizerConfig(NetworkOptimizerConfig):
    """The optimizer of the embedder and of the heads."""

    lr: float = Field(3e-3, gt=0, description="peak learning rate")
    head_lr_scale: float = Field(1.0, gt=0, description="the heads' learning rate over `lr`")
    backbone_lr_scale: float = Field(
        1.0, gt=0, description="the backbone's learning rate over `lr`, which the neck keeps"
    )


class ScheduleConfig(Config):
    """A timm learning-rate schedule, stepped at every update."""

    name: Literal["cosine", "tanh", "polynomial", "step", "multistep", "constant"] = Field(
        "cosine", description="how the learning rate changes after the warm-up"
    )
    warmup_epochs: Epochs = Field(1.0, description="linear warm-up from 1 % of the peak")
    min_lr: float = Field(0.0, ge=0, description="final learning rate of cosine, tanh, polynomial")
    power: float = Field(
        1.0, gt=0, le=10, description="of polynomial: the rate falls as (1 - progress)^power"
    )
    decay_epochs: list[Annotated[Epochs, Field(gt=0)]] = Field(
        [],
        description="epochs of the decays of `multistep`; for `step` the epochs between decays",
    )
    decay_rate: float = Field(0.1, gt=0, lt=1, description="factor of one decay of (multi)step")

    @model_validator(mode="after")
    def _decays(self) -> "ScheduleConfig":
        wanted = {"step": 1, "multistep": None}.get(self.name, 0)
        if wanted is None and not self.decay_epochs:
            raise ValueError("schedule 'multistep' needs decay_epochs")
        if wanted is not None and len(self.decay_epochs) != wanted:
            raise ValueError(f"schedule '{self.name}' takes {wanted} entries in decay_epochs")
        if self.power != 1.0 and self.name != "polynomial":
            raise ValueError(f"schedule '{self.name}' has no power: omit it, or take polynomial")
        if self.decay_epochs != sorted(self.decay_epochs):
            raise ValueError("decay_epochs must be in ascending order")
        return self


def parameter_groups(
    embedder: nn.Module,
    heads: Iterable[Head],
    weight_decay: float,
    head_lr_scale: float,
    backbone_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """Return the groups: decayed and undecayed, of the embedder and of the heads.

    Biases, norms and scales - every parameter of fewer than two dimensions, and what a head or
    the backbone names in `no_weight_decay` - are not decayed. With a `backbone_lr_scale` other than
    1, the backbone has groups of its own, after those of the rest of the embedder.
    """
    backbone = getattr(embedder, "backbone", None)
    spared = (
        {f"backbone.{name}" for name in backbone.no_weight_decay()}
        if backbone is not None and hasattr(backbone, "no_weight_decay")
        else set()
    )
    own = backbone_lr_scale != 1.0
    groups = _split(embedder, spared, weight_decay, 1.0, lambda name: not (own and _is_in(name)))
    if own:
        groups += _split(embedder, spared, weight_decay, backbone_lr_scale, _is_in)
    for head in heads:
        groups += _split(head, head.no_weight_decay(), weight_decay, head_lr_scale)
    return groups


def _is_in(name: str) -> bool:
    """Return whether a parameter of an embedder is the backbone's."""
    return name.startswith("backbone.")


def _split(
    module: nn.Module,
    spared: set[str],
    weight_decay: float,
    lr_scale: float,
    chosen: Callable[[str], bool] = lambda _: True,
) -> list[dict[str, Any]]:
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and chosen(name):
            (plain if parameter.ndim < 2 or name in spared else decayed).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_scale": lr_scale}
        for parameters, decay in ((decayed, weight_decay), (plain, 0.0))
        if parameters
    ]


def make_optimizer(groups: list[dict[str, Any]], config: NetworkOptimizerConfig) -> Optimizer:
    """Return timm's optimizer of that name over the parameter groups.

    Raises:
        ConfigError: The optimizer refuses its settings.
    """
    from timm.optim import create_optimizer_v2

    fused = config.name in FUSED if config.fused == "auto" else config.fused
    try:
        optimizer: Optimizer = create_optimizer_v2(
            groups,
            opt=config.name,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            **({"fused": True} if fused else {}),
        )
    except TypeError as error:
        if not fused:
            raise
        raise ConfigError(
            f"optimizer '{config.name}' has no fused form: set fused to auto"
        ) from error
    except ValueError as error:
        raise ConfigError(f"optimizer '{config.name}': {error}") from error
    return optimizer


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take up an optimizer's state, laid out in memory as the parameters are.

    A fused step goes through the memory of a parameter and of its state side by side, and does not
    ask whether they are NCHW and channels_last.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class Schedule:
    """A timm schedule, stepped by the number of updates done; it has no state of its own.

    timm multiplies the rate of a group by its `lr_scale` at each update, so that the peak rate of
    every group (`initial_lr`) is the optimizer's own.
    """

    def __init__(
        self, optimizer: Optimizer, config: ScheduleConfig, epochs: int, updates_per_epoch: int
    ) -> None:
        self._optimizer, self._config = optimizer, config
        self._epochs, self._updates_per_epoch = epochs, updates_per_epoch
        self._peak: float = optimizer.param_groups[0]["lr"]
        self._schedule = self._make()

    def set(self, updates: int) -> None:
        """Set the learning rates for the update that follows `updates` finished ones."""
        self._schedule.step_update(updates)

    def resume(self) -> float | None:
        """Keep the rates of a run whose optimizer state has just been loaded.

        Earlier versions multiplied by `lr_scale` twice. Such a run is known by the peak rates in
        its state, and goes on as it began.

        Returns:
            The factor of a group that was multiplied twice; None where none was.
        """
        groups = self._optimizer.param_groups
        embedder, kept = groups[0].get("initial_lr", self._peak), None
        for group in groups:
            scale = group.get("lr_scale", 1.0)
            twice = not math.isclose(group.get("initial_lr", embedder), embedder)
            group["initial_lr"] = self._peak * scale if twice else self._peak
            kept = scale * scale if twice else kept
        self._schedule = self._make()
        return kept

    def _make(self) -> "Scheduler":
        from timm.scheduler import create_scheduler_v2

        config, decay = self._config, self._config.decay_epochs
        schedule, _ = create_scheduler_v2(
            self._optimizer,
            sched="poly" if config.name == "polynomial" else config.name,
            num_epochs=self._epochs,
            decay_epochs=decay[0] if config.name == "step" else 0,
            decay_milestones=decay if config.name == "multistep" else (1,),
            # timm takes the power of its polynomial schedule from here, too
            decay_rate=config.power if config.name == "polynomial" else config.decay_rate,
            min_lr=config.min_lr,
            warmup_lr=self._peak * 0.01,
            warmup_epochs=config.warmup_epochs,
            warmup_prefix=False,
            cooldown_epochs=0,
            step_on_epochs=False,
            updates_per_epoch=self._updates_per_epoch,
        )
        assert schedule is not None
        return schedule
