"""What every training criterion is: embeddings and labels in, a loss out."""

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
from facever.heads.common.figures import Figures
from facever.heads.weight import Weight

Metric = Literal["cosine", "euclidean", "dot"]
Beside = Literal["teacher", "attributes", "thumbnails"]


class HeadConfig(Config):
    """What every head's configuration has; a head nests its own as `Config`.

    `from_data` names the parameters that are null until a training fills them in from its data,
    such as the names of the attributes; the run's config.yaml holds what was found.
    """

    from_data: ClassVar[frozenset[str]] = frozenset()

    name: str
    weight: Weight = Field(
        1.0, description="factor of this head's loss in the sum of heads, or a schedule of it"
    )
    input: Literal["embedding", "before_norm"] = Field(
        "embedding",
        description="what it learns from: the embedding, or what the BatchNorm at the end of "
        "model.neck is given",
    )

    def risk_without_norm(self) -> str | None:
        """Return what may keep the head from learning behind a neck without BatchNorm.

        In words that end with the parameter to change, printed before a training; None: nothing
        that is known.
        """
        return None


@dataclass
class HeadOutput:
    """What a head says of one batch.

    Attributes:
        loss: Scalar, float32 (float64 for float64 embeddings).
        stats: Detached scalars to watch, such as "target_cosine".
    """

    loss: Tensor
    stats: dict[str, Tensor] = field(default_factory=dict)


class Head(nn.Module, ABC):
    """A training criterion, with its prototypes, margins and schedule position.

    A subclass nests a `Config`, sets the class attributes and implements `compute`; `@register`
    makes it known by its configuration's name.

    Args:
        config: The head's own configuration.
        embedding_size: D, components of an embedding.
        identities: C, number of identities; labels are 0..C-1.

    Attributes:
        name: The name in configurations.
        metric: What verification must compare embeddings by.
        images_per_identity: How many images of one identity a batch must hold at least.
        paper: Authors, venue, year and equation.
        beside: What else a training must bring for each image, where its label is not what the
            head learns from: "teacher", a teacher's embedding; "attributes", a number for each
            attribute; "thumbnails", the image made small. Such targets are given in the place of
            the labels, floating point [B, *target_shape].
        helper: Whether it is only of use beside another head: alone it is refused, and it never
            decides what verification compares by.
        soft_labels: Whether a distribution over the identities, floating point [B, identities], is
            taken in the place of the labels too.
        prototypes: Where the head has them, `prototypes.weight` is [identities, embedding_size].
        arrangeable: Whether `arrange` can hold its prototypes in another layout.
        whole_batch: Whether it sees the images of all processes, gathered, so that its loss is the
            same on each; otherwise it sees those of this process.
        sums: Whether its loss is a sum over the images, not a mean.
    """

    Config: ClassVar[type[HeadConfig]]
    name: str
    metric: Metric = "cosine"  # a head whose configuration changes them sets them on itself
    images_per_identity: int = 1
    paper: ClassVar[str]
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
        """Make the prototypes, held in a layout; once, before anything else.

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
                f"prototypes.noise_filter is a cosine, and head '{self.name}' has none: take a "
                "head such as cosface, or set it to null"
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

        Half precision is raised to float32 and autocast is off inside, so that the loss is exact.

        Args:
            embeddings: [B, embedding_size], not normalised, floating point.
            labels: int64 [B], each 0..identities-1; targets or a distribution in their place where
                the head declares `beside` or `soft_labels`. They are checked on the CPU; labels
                that lie on an accelerator are left to its own index check, for asking would stall
                it.

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
        """Take part, without an image of this process, in what all processes do in `forward`.

        Called in the place of `forward` where none of this process's images could be read, unless
        the head sees the whole batch.
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

    def own_alarms(self, figures: Figures) -> dict[str, str]:
        """Return troubles that only this head can have, as it sees them in its figures.

        Called whenever a training logs; each kind is reported once.

        Returns:
            By the kind, one or two words with hyphens, what is seen and what to try: one line.
        """
        del figures
        return {}

    def no_weight_decay(self) -> set[str]:
        """Return the names of own parameters that must not be decayed, such as a scale."""
        return set()

    def step_completed(self) -> None:
        """Go on by one optimizer step: the trainer calls this once after each."""

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
                    f"head '{self.name}' compares images of one identity, and each of the "
                    f"{images} labels of the batch stands alone: set "
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
                    f"head '{self.name}': soft label {row} is no distribution (its smallest share "
                    f"is {soft[row].min().item():.4g}, their sum {sums[row].item():.4g})"
                )


_SUM_TOLERANCE = 1e-2  # bfloat16 rounds a distribution that far


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def mean_norm(vectors: Tensor) -> Tensor:
    """Return the mean length of the rows, detached."""
    norms: Tensor = torch.linalg.vector_norm(vectors.detach(), dim=1)
    return norms.mean()
