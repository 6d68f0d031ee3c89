"""What a training is: everything that `facever train` reads, in one typed object."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from facever import plugins
from facever.config import Config, read_overrides, read_yaml_file
from facever.data.augmentation import AugmentationConfig
from facever.deprecated import Former, former_names
from facever.errors import ConfigError
from facever.heads.attributes import Attributes
from facever.heads.base import HeadConfig, Metric
from facever.heads.classes.layout import PrototypesConfig
from facever.heads.distillation import Distillation
from facever.heads.registry import AnyHead, head_class
from facever.models.embedder import WITH_NORM, ModelConfig
from facever.training.computing.optimization import OptimizerConfig, ScheduleConfig
from facever.training.htg.config import AdversarialConfig

HeadChoice = Annotated[HeadConfig, AnyHead()]
"""The configuration of any head, told apart by its name."""

Selection = dict[str, str | int | list[str] | list[int]]
BY_ROW = {"sgd", "momentum", "adam", "adamw"}
"""Optimizers that do the same to a row of a parameter whatever the others are, and start at 0."""

Share = Annotated[float, Field(ge=0, lt=1)]
Images = Annotated[int, Field(le=2**20)]
"""A number of images that are in memory together; `require_room` asks this machine."""


class DataConfig(Config):
    """Which images show whom, and which identities are kept for choices."""

    root: str = Field(
        description="a path, or a name of a data set in --data, $FACEVER_DATA or ./data"
    )
    layout: str = Field(
        "auto",
        description="how the folder is laid out: auto, a reader's name, or pattern:REGEX for file "
        "names with identity and camera (docs/formats.md)",
    )
    train: Selection = Field({}, description="columns and values to train on, {} for all rows")
    development: Selection | None = Field(
        None, description="columns and values of the development rows; null: development_share"
    )
    development_share: Share = Field(
        0.1,
        description="share of the identities for development if `development` is null; 0: none",
    )
    development_per_identity: int = Field(
        5, ge=2, description="largest number of development images per person"
    )
    on_error: Literal["raise", "skip"] = Field(
        "skip", description="what to do with an unreadable image"
    )
    cache: Literal["auto", "always", "never"] = Field(
        "auto",
        description="keep decoded training images in memory; auto: up to half of the free memory",
    )


class BatchConfig(Config):
    """How a batch is drawn."""

    size: Images = Field(128, ge=2, description="images per batch, over all processes")
    images_per_identity: Images | None = Field(
        None, ge=2, description="K of a P x K batch (P = size / K); null: images in random order"
    )
    epoch: Literal["identities", "images"] = Field(
        "identities",
        description="P x K: an epoch shows each identity equally often, or every image once",
    )
    spread_cameras: bool = Field(False, description="P x K: take the K images from many cameras")
    min_images: int | None = Field(
        None,
        ge=1,
        description="identities with fewer images are not used; null: 2 for P x K batches, else 1",
    )

    @property
    def least_images(self) -> int:
        """`min_images`, or its default for this kind of batch."""
        return self.min_images or (1 if self.images_per_identity is None else 2)

    @model_validator(mode="after")
    def _whole_identities(self) -> "BatchConfig":
        if self.images_per_identity is not None and self.size % self.images_per_identity:
            raise ValueError(
                f"size {self.size} is not a multiple of images_per_identity "
                f"{self.images_per_identity}"
            )
        if self.epoch == "images" and self.images_per_identity is None:
            raise ValueError(
                "epoch 'images' needs images_per_identity; batches in random order show every "
                "image anyway"
            )
        if self.spread_cameras and self.images_per_identity is None:
            raise ValueError("spread_cameras needs images_per_identity")
        return self


class DistributedConfig(Config):
    """What several processes (torchrun) have in common beside gradients."""

    batch_norm: Literal["local", "frozen", "synchronised"] = Field(
        "local",
        description="local: statistics of each process's own images, running ones averaged; "
        "frozen: the running ones as they are, also in one process; synchronised: of all images, "
        "on GPUs only",
    )
    pairs: Literal["global", "local"] = Field(
        "global",
        description="heads that compare images use those of all processes, or only local ones",
    )


class TrainConfig(Config):
    """A whole training run."""

    imports: list[str] = Field(
        [], description="modules that bring heads, readers and backbones, see docs/plug-ins.md"
    )
    data: DataConfig
    model: ModelConfig = ModelConfig()
    heads: list[HeadChoice] = Field(
        min_length=1, description="training criteria, see facever heads; their losses are added"
    )
    adversarial: AdversarialConfig | None = Field(
        None, description="hard triplets by a generator (HTG), see docs/htg.md; null: off"
    )
    augmentation: AugmentationConfig | None = Field(
        AugmentationConfig(), description="random changes of training images; null: none"
    )
    batch: BatchConfig = BatchConfig()
    distributed: DistributedConfig = DistributedConfig()
    prototypes: PrototypesConfig = PrototypesConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: int = Field(20, ge=1, le=1_000_000, description="length of the training")
    accumulation: Images = Field(1, ge=1, description="batches per optimizer update")
    clip_norm: float | None = Field(5.0, gt=0, description="largest norm of all gradients")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "fp32", description="auto: bf16 where the device and the model's layers suit it, else fp32"
    )
    memory_format: Literal["auto", "channels_last", "contiguous"] = Field(
        "auto", description="auto: by device, precision and the model's convolutions"
    )
    compile: bool = Field(
        False, description="use torch.compile for the embedder; if it fails, a warning is printed"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute the backbone's stages twice to save memory"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="exponential moving average")
    seed: int = Field(0, ge=0, lt=2**64, description="the same seed gives the same model")
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="processes that load images; 0: this one"
    )
    evaluate_every: int = Field(
        1, ge=1, description="epochs between evaluations on development people"
    )
    metric: Metric | None = Field(
        None, description="similarity for verification; null: that of the first head on embeddings"
    )
    best_by: Literal["auc", "tar@1e-2", "tar@1e-3", "eer"] = Field(
        "auc", description="the development figure that chooses the best checkpoint"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after this number of evaluations without improvement"
    )
    checkpoint_minutes: float = Field(
        5.0,
        gt=0,
        description="minutes between checkpoints within an epoch; each epoch ends with one",
    )
    log_every: int = Field(10, ge=1, description="updates between two lines of metrics.jsonl")
    tensorboard: bool = Field(True, description="also write TensorBoard events, where installed")
    mlflow: str | None = Field(
        None,
        description="also log to MLflow: a folder such as mlruns, or a tracking URI; null: off",
    )
    operating_point_far: float = Field(
        1e-3, gt=0, lt=1, description="FAR of the run's 1:1 operating point, set on development"
    )

    @property
    def criteria(self) -> str:
        """What it trains by, such as "cosface + center", or "softmax + HTG"."""
        names = [head.name for head in self.heads]
        return " + ".join(names if self.adversarial is None else [*names, "HTG"])

    @model_validator(mode="before")
    @classmethod
    def _import_first(cls, values: Any) -> Any:
        """Import the modules of `imports`: what follows may name what is in them."""
        try:
            _import(values)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return values

    @field_validator("heads")
    @classmethod
    def _more_than_helpers(cls, heads: list[HeadConfig]) -> list[HeadConfig]:
        if all(head_class(head.name).helper for head in heads):
            raise ValueError(
                f"head '{heads[0].name}' only attracts embeddings: add a head that separates "
                "identities, such as cosface"
            )
        return heads

    @model_validator(mode="after")
    def _pairs_need_partners(self) -> "TrainConfig":
        for head in self.heads:
            needed = head_class(head.name).images_per_identity
            if needed > (self.batch.images_per_identity or 1):
                raise ValueError(
                    f"head '{head.name}' compares images of one identity: set "
                    f"batch.images_per_identity to {needed} or more"
                )
            if head.input == "before_norm" and self.model.neck not in WITH_NORM:
                raise ValueError(
                    f"head '{head.name}' has input before_norm, but model.neck "
                    f"'{self.model.neck}' has no BatchNorm: take {' or '.join(WITH_NORM)}"
                )
            if head.input == "before_norm" and isinstance(head, Attributes.Config):
                raise ValueError(
                    "head 'attributes' reads labels from embeddings: its input must be embedding"
                )
        if self.adversarial is not None and self.batch.images_per_identity is None:
            raise ValueError(
                "adversarial training compares images of one identity: set "
                "batch.images_per_identity to 2 or more"
            )
        return self

    @model_validator(mode="after")
    def _frozen_weights(self) -> "TrainConfig":
        if self.model.frozen_epochs and not self.model.pretrained:
            raise ValueError(
                "model.frozen_epochs needs pretrained weights: give model.pretrained, or omit it"
            )
        return self

    @model_validator(mode="after")
    def _layout_of_prototypes(self) -> "TrainConfig":
        if self.prototypes.plain:
            return self
        names = [head.name for head in self.heads if head_class(head.name).arrangeable]
        if not names:
            raise ValueError(
                f"prototypes: head '{self.heads[0].name}' does not support other layouts: omit "
                "prototypes, or use a head such as cosface"
            )
        if self.adversarial is not None:
            raise ValueError(
                "prototypes: adversarial training needs whole and kept prototypes: omit prototypes"
            )
        by_row = self.prototypes.stored == "sharded" or self.prototypes.sampled < 1
        if by_row and self.optimizer.name not in BY_ROW:
            raise ValueError(
                f"prototypes: optimizer '{self.optimizer.name}' does not update rows separately: "
                "use "
                f"{', '.join(sorted(BY_ROW))}, or prototypes that are whole and not sampled"
            )
        return self


def _import(values: Any) -> None:
    """Import what the values of a configuration name; values of a wrong type wait for pydantic."""
    imports = values.get("imports") if isinstance(values, dict) else None
    if isinstance(imports, list) and all(isinstance(one, str) for one in imports):
        plugins.import_modules(imports)


def import_plugins(path: Path, overrides: Sequence[str] = ()) -> None:
    """Import the modules of a configuration's `imports`, before its heads are looked at.

    Args:
        path: The YAML file of a training.
        overrides: Each "key=value"; `imports=[mypackage.parts]` replaces those of the file.

    Raises:
        ConfigError: As `facever.plugins.import_modules`.
    """
    values = read_yaml_file(path, "configuration file")
    changes = {k: v for k, v in read_overrides(overrides).items() if k == "imports"}
    _import({**values, **changes} if isinstance(values, dict) else changes)


def schedules_of(config: TrainConfig) -> list[tuple[str, ScheduleConfig, float]]:
    """Return the name, the schedule and the epochs of each network that is trained."""
    others = [] if config.adversarial is None else config.adversarial.schedules(config.epochs)
    return [("schedule", config.schedule, float(config.epochs)), *others]


def require_warm_up_within(config: TrainConfig) -> None:
    """Refuse a new length whose learning rate would never reach its peak; runs go on as begun.

    Raises:
        ConfigError: Names the schedule, and how many epochs there are.
    """
    for name, schedule, epochs in schedules_of(config):
        if schedule.warmup_epochs > epochs:
            raise ConfigError(
                f"{name}.warmup_epochs is {schedule.warmup_epochs:g}, and there are {epochs:g} "
                "epochs: the learning rate would never reach its peak"
            )


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Return the configuration with its relative paths made absolute, where there is something.

    MLflow's folder may not be there yet. A run can then be resumed from any folder. Names of data
    sets and of weights stay names.
    """
    data = config.data.model_copy(update={"root": _absolute(config.data.root)})
    pretrained = config.model.pretrained
    if isinstance(pretrained, str):
        pretrained = _absolute(pretrained)
    heads = [
        head.model_copy(update={"teacher": _absolute(head.teacher)})
        if isinstance(head, Distillation.Config)
        else head
        for head in config.heads
    ]
    model = config.model.model_copy(update={"pretrained": pretrained})
    mlflow = config.mlflow
    if mlflow is not None and "://" not in mlflow:
        mlflow = str(Path(mlflow).absolute())
    return config.model_copy(
        update={"data": data, "model": model, "heads": heads, "mlflow": mlflow}
    )


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if Path(path).exists() else path


def require_same(
    wanted: TrainConfig,
    saved: TrainConfig,
    run: Path,
    mend: str = "resume without CONFIG, or start a new run",
) -> None:
    """Refuse to resume a run with another configuration than its own; `mend` says what to do.

    Raises:
        ConfigError: Names the first key that differs and both values.
    """
    new, old = (with_absolute_paths(config).model_dump(mode="json") for config in (wanted, saved))
    for head, mine, was in zip(saved.heads, new["heads"], old["heads"], strict=False):
        if mine["name"] == was["name"]:  # what was null came from the data
            mine.update({key: was[key] for key in head.from_data if mine[key] is None})
    if new["model"]["alignment"] == "none":  # it came from the data, too
        new["model"]["alignment"] = old["model"]["alignment"]
    for key in ("precision", "memory_format"):
        if new[key] == "auto":  # what was chosen when it began
            new[key] = old[key]
    for key in old:
        if new[key] != old[key]:
            raise ConfigError(f"{run} was trained with {key} = {old[key]}, not {new[key]}: {mend}")


__getattr__ = former_names(
    __name__,
    {
        name: Former(f"{home}:{name}", f"{home}.{name}")
        for name, home in {
            "NetworkOptimizerConfig": "facever.training.computing.optimization",
            "NetworkConfig": "facever.training.htg.config",
        }.items()
    },
)
