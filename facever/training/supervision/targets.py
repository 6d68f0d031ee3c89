"""What heads learn from beside labels: a teacher's embeddings, attributes, thumbnails."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from facever.data.loading import Batch
from facever.data.manifest import Manifest
from facever.errors import ConfigError, FaceverError
from facever.heads.attributes import Attributes
from facever.heads.base import Head, HeadConfig
from facever.heads.distillation import Distillation
from facever.heads.reconstruction import Reconstruction
from facever.training.config import TrainConfig
from facever.training.supervision.labels import label_names, label_table
from facever.training.supervision.teacher import Teacher, open_teacher

Source = Callable[[Batch, Tensor], Tensor]
"""From a batch, and its images on the device, to a head's targets [B, ...] there."""


@dataclass(frozen=True)
class Targets:
    """The targets of every head that needs some.

    Attributes:
        sources: By the head's place in the configuration.
        digest: A hash of what the targets are made from, empty without targets.
    """

    sources: Mapping[int, Source]
    teachers: Mapping[int, Teacher]
    digest: str

    def of(self, batch: Batch, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Return the targets of a batch by the names of the heads.

        Args:
            batch: As loaded.
            images: Its images on the training's device, uint8 [B, 3, H, W].
            names: Of all heads, in the configuration's order.
        """
        return {
            name: self.sources[place](batch, images)
            for place, name in enumerate(names)
            if place in self.sources
        }

    def begin(self, heads: Iterable[Head]) -> None:
        """Give the heads of a new training what they need of the whole data, once."""
        for place, head in enumerate(heads):
            if isinstance(head, Distillation) and head.config.loss == "soft_targets":
                head.set_class_means(self.teachers[place].class_means())


def prepare(
    config: TrainConfig, manifest: Manifest, device: torch.device
) -> tuple[TrainConfig, Targets]:
    """Open what the heads learn from; return it and the configuration with what it says filled in.

    Args:
        config: Its heads' parameters that come from the data may be null.
        manifest: The training images.
        device: The training's.

    Raises:
        ConfigError, DataError, ModelError: A teacher, column or size that cannot be used.
    """
    heads: list[HeadConfig] = []
    sources: dict[int, Source] = {}
    teachers: dict[int, Teacher] = {}
    digest = hashlib.sha256()
    for place, head in enumerate(config.heads):
        filled = head
        if isinstance(head, Distillation.Config):
            with _naming(f"heads.{place}.teacher"):
                teacher = teachers[place] = open_teacher(
                    Path(head.teacher),
                    manifest,
                    config.model.preprocessing,
                    config.data.on_error,
                    device,
                )
            if head.teacher_size not in (None, teacher.size):
                raise ConfigError(
                    f"heads.{place}.teacher_size is {head.teacher_size}, but the embeddings of "
                    f"{head.teacher} have {teacher.size} components"
                )
            filled = head.model_copy(update={"teacher_size": teacher.size})
            sources[place] = teacher.targets
            digest.update(f"teacher {teacher.identity}".encode())
        elif isinstance(head, Attributes.Config):
            with _naming(f"heads.{place}.columns"):
                labels = head.labels or label_names(manifest, head.columns)
                table = torch.from_numpy(label_table(manifest, head.columns, labels))
            filled = head.model_copy(update={"labels": labels})
            sources[place] = _rows_of(table)
            digest.update(f"attributes {labels}".encode() + table.numpy().tobytes())
        elif isinstance(head, Reconstruction.Config):
            sources[place] = _thumbnails(head.size)
        heads.append(filled)
    written = digest.hexdigest() if digest.digest() != hashlib.sha256().digest() else ""
    return config.model_copy(update={"heads": heads}), Targets(sources, teachers, written)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Begin what a user is told inside with the configuration's key."""
    try:
        yield
    except FaceverError as error:
        raise type(error)(f"{key}: {error}") from error


def _rows_of(table: Tensor) -> Source:
    def rows(batch: Batch, images: Tensor) -> Tensor:
        return table[batch.indices].to(images.device, non_blocking=True)

    return rows


def _thumbnails(size: int) -> Source:
    def thumbnails(batch: Batch, images: Tensor) -> Tensor:  # noqa: ARG001
        return F.interpolate(images.float() / 255, (size, size), mode="area")

    return thumbnails
