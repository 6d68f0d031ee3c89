"""The base class of training criteria: embeddings and labels in, a loss out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.config import Config
from facever.core.processes import gather, gather_rows
from facever.errors import ConfigError, TrainingError
from facever.heads.classes.layout import PrototypesConfig, shard_of
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.history import HeadHistory
from facever.heads.weight import Weight

Metric = Literal["cosine", "euclidean", "dot"]
Beside = Literal["teacher", "attributes", "thumbnails"]


class HeadConfig(Config):
    """The parameters of every head; a head nests its own configuration as `Config`.

    `from_data` names parameters that a training sets from its data where they are null, such as
    the names of the attributes; the run's config.yaml has their values.
    """

    from_data: ClassVar[frozenset[str]] = frozenset()

    name: str
    weight: Weight = Field(
        1.0, description="factor of this head's loss in the sum of heads, or a schedule of it"
    )
    input: Literal["embedding", "before_norm"] = Field(
        "embedding",
        description="input of the head: the embedding, or the input of the BatchNorm at the end of "
        "model.neck",
    )

    def risk_without_norm(self) -> str | None:
        """Return what may keep the head from learning behind a neck without BatchNorm.

        The text ends with the parameter to change; a training prints it before it starts. None: no
        risk is known.
        """
        return None


@dataclass
class HeadOutput:
    """The result of a head for one batch.

    Attributes:
        loss: Scalar, float32 (float64 for float64 embeddings).
        stats: Detached scalars for the log, such as "target_cosine".
    """

    loss: Tensor
    stats: dict[str, Tensor] = field(default_factory=dict)


class Head(nn.Module, ABC):
    """A training criterion, with its prototypes, margins and schedule position.

    A subclass nests a `Config`, sets the class attributes and implements `compute`; `@register`
    registers it under its configuration's name.

    Args:
        config: The head's own configuration.
        embedding_size: D, components of an embedding.
        identities: C, number of identities; labels are 0..C-1.

    Attributes:
        name: The name in configurations.
        metric: The similarity by which verification must compare embeddings.
        images_per_identity: The least number of images of one identity in a batch.
        paper: Authors, venue, year and equation.
        beside: The targets that a training must load for each image, for a head that does not
            learn from labels: "teacher", a teacher's embedding; "attributes", a number for each
            attribute; "thumbnails", a small copy of the image. They replace the labels, floating
            point [B, *target_shape].
        helper: Whether it needs another head: a training with helpers alone is refused, and a
            helper does not decide the metric of verification.
        soft_labels: Whether it also takes a distribution over the identities, floating point
            [B, identities], in place of the labels.
        prototypes: `prototypes.weight` is [identities, embedding_size]; None for a head without.
        arrangeable: Whether `arrange` can put its prototypes into another layout.
        whole_batch: Whether it sees the images of all processes, gathered, so that its loss is the
            same on each; otherwise it sees those of this process.
        sums: Whether its loss is a sum over the images, not a mean.
    """

    Config: ClassVar[type[HeadConfig]]
    name: str
    metric: Metric = "cosine"  # a head whose configuration changes them sets them on itself
    images_per_identity: int = 1
    paper: ClassVar[str] = "none named"
    beside: ClassVar[Beside | None] = None
    helper: ClassVar[bool] = False
    soft_labels: ClassVar[bool] = False
    arrangeable: ClassVar[bool] = False
    whole_batch: bool = False
    sums: bool = False
    config: HeadConfig

    def __init__(self, config: HeadConfig, embedding_size: int, identities: int) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = embedding_size
        self.identities = identities
        self.prototypes: Prototypes | None = None

    @property
    def by_identity(self) -> list[nn.Parameter]:
        """The parameters with a row for each identity, of an arrangeable head."""
        return [] if self.prototypes is None else [self.prototypes.weight]

    def arrange(self, layout: PrototypesConfig) -> None:
        """Create the prototypes in a layout; once, before anything else.

        In shards, each process keeps its rows: `weight` becomes [shard, D], with the attribute
        `shard_of`, the rows of all shards; and the head sees the images of all processes.

        Raises:
            ConfigError: The layout has a noise filter, and the head has no cosines.
        """
        if self.prototypes is None:
            return
        assert self.arrangeable or layout.plain
        if layout.noise_filter is not None and type(self).metric != "cosine":
            raise ConfigError(
                f"prototypes.noise_filter is a cosine, and head '{self.name}' has no cosines: use "
                "a head such as cosface, or set prototypes.noise_filter to null"
            )
        self.prototypes.layout = layout
        if layout.stored == "whole":
            self.prototypes.hold()
            return
        self.whole_batch = True
        first, count = shard_of(self.identities)
        self.prototypes.hold(first, count)
        for parameter in self.by_identity:
            if parameter is not self.prototypes.weight:
                parameter.data = parameter.data[first : first + count].clone()
            parameter.shard_of = self.identities  # type: ignore[attr-defined]

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape of one image's target where the head declares `beside`."""
        return ()

    def forward(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the loss of a batch.

        Half precision is converted to float32 and autocast is off, so that the loss is exact.

        Args:
            embeddings: [B, embedding_size], not normalised, floating point.
            labels: int64 [B], each 0..identities-1; targets or a distribution in their place where
                the head declares `beside` or `soft_labels`. Labels on an accelerator are not
                checked here, because reading them would stall it; its own index check applies.

        Raises:
            TrainingError: Wrong shapes, an empty batch, a label out of range, or no two images of
                one identity for a head that compares them.
        """
        if self.whole_batch:
            embeddings, labels = gather_rows(embeddings), gather(labels)
        self._check_embeddings(embeddings)
        if self.beside is not None:
            self._check_targets(labels, len(embeddings))
        elif self.soft_labels and labels.ndim == 2 and labels.is_floating_point():
            self._check_distributions(labels, len(embeddings))
        else:
            self._check_labels(labels, len(embeddings))
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.compute(embeddings.to(dtype), labels)

    @abstractmethod
    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the loss of checked input.

        Args:
            embeddings: float32 or float64 [B, D].
            labels: int64 [B]; or targets or a distribution, where the head declares them.
        """

    def absent(self) -> None:
        """Join the collective operations of `forward` without an image of this process.

        Called instead of `forward` where none of this process's images could be read, unless the
        head sees the whole batch.
        """

    def loss_at_chance(self) -> float | None:
        """Return the least loss of embeddings that tell no two identities apart.

        A training warns where the loss stays there and "accuracy" (or "target_probability") among
        the stats is at chance. None, the default: no such level is known. A cross-entropy over C
        identities has log C.
        """
        return None

    def loss_at_collapse(self) -> float | None:
        """Return the loss at which the head can stay once all embeddings are one point.

        A training warns where the loss stays there. None, the default: no such level is known.
        """
        return None

    def own_alarms(self, figures: HeadHistory) -> dict[str, str]:
        """Return alarms that only this head has, from the statistics of its training.

        Called whenever a training logs; each kind is reported once.

        Returns:
            By kind, a short name with hyphens: what is wrong and what to try, in one line.
        """
        del figures
        return {}

    def no_weight_decay(self) -> set[str]:
        """Return the names of own parameters that must not be decayed, such as a scale."""
        return set()

    def step_completed(self) -> None:
        """Advance by one optimizer step; the trainer calls this once after each."""

    def _check_embeddings(self, embeddings: Tensor) -> None:
        shape = list(embeddings.shape)
        if embeddings.ndim != 2 or shape[1] != self.embedding_size or not shape[0]:
            raise TrainingError(
                f"head '{self.name}' takes embeddings [B, {self.embedding_size}], not {shape}"
            )

    def _check_labels(self, labels: Tensor, images: int) -> None:
        if list(labels.shape) != [images] or labels.dtype != torch.int64:
            raise TrainingError(
                f"head '{self.name}' takes int64 labels [{images}] for {images} embeddings, "
                f"not {_kind(labels)}"
            )
        if labels.device.type == "cpu":
            low, high = (int(bound) for bound in labels.aminmax())
            if low < 0 or high >= self.identities:
                wrong = low if low < 0 else high
                raise TrainingError(
                    f"head '{self.name}' has {self.identities} identities, so labels are "
                    f"0..{self.identities - 1}; got label {wrong}"
                )
            if self.images_per_identity > 1 and int(labels.bincount().max()) == 1:
                raise TrainingError(
                    f"head '{self.name}' compares images of one identity, and no two of the "
                    f"{images} images of the batch have the same label: set "
                    "batch.images_per_identity to 2 or more"
                )

    def _check_targets(self, targets: Tensor, images: int) -> None:
        wanted = [images, *self.target_shape]
        if list(targets.shape) != wanted or not targets.is_floating_point():
            raise TrainingError(
                f"head '{self.name}' takes {self.beside} as floating point {wanted} for {images} "
                f"embeddings, not {_kind(targets)}"
            )

    def _check_distributions(self, soft: Tensor, images: int) -> None:
        if list(soft.shape) != [images, self.identities]:
            raise TrainingError(
                f"head '{self.name}' takes soft labels [{images}, {self.identities}] for {images} "
                f"embeddings, not {_kind(soft)}"
            )
        if soft.device.type == "cpu":
            sums = soft.double().sum(1)
            wrong = (soft < 0).any(1) | ~((sums - 1).abs() <= _SUM_TOLERANCE)
            if bool(wrong.any()):
                row = int(wrong.int().argmax())
                raise TrainingError(
                    f"head '{self.name}': soft label {row} is not a distribution (smallest share "
                    f"{soft[row].min().item():.4g}, sum {sums[row].item():.4g})"
                )


_SUM_TOLERANCE = 1e-2  # bfloat16 rounds a distribution that far


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def mean_norm(vectors: Tensor) -> Tensor:
    """Return the mean length of the rows, detached."""
    norms: Tensor = torch.linalg.vector_norm(vectors.detach(), dim=1)
    return norms.mean()
