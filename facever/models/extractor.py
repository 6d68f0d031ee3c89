"""Images to embeddings with a trained model: a few at once, or a whole manifest into a folder."""

import hashlib
import json
from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from facever._version import __version__
from facever.core.run_folder import RunFolder
from facever.data.acquisition import Acquire, OnError
from facever.data.given import Given
from facever.data.loading import Batch, Batches, given_batches, plain_batches
from facever.data.manifest import Manifest
from facever.deprecated import Former, former_names
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.models.extraction import LoadedModel, Precision
from facever.models.precision import autocast, choose_device, exact_fp32, fastest_layout
from facever.models.saving import ModelCard
from facever.models.streams import EmbeddedBlock, Workers, in_rows
from facever.models.timm_import import timm

if TYPE_CHECKING:
    from facever.operating_point import OperatingPoint


def extraction_fingerprint(
    model_hash: str, *, flip: bool = False, precision: Precision = "fp32"
) -> str:
    """Return the fingerprint of the embedding space of a model with these options, hexadecimal.

    Embeddings of different fingerprints are not comparable.
    """
    options = {"flip": flip, "precision": precision}
    return hashlib.sha256(
        f"{model_hash} {json.dumps(options, sort_keys=True)}".encode()
    ).hexdigest()


__getattr__ = former_names(
    __name__,
    {
        "load_model": Former("facever.models.loading:load_model", "facever.load_model"),
    },
)


class Extractor(LoadedModel):
    """A trained model ready to embed images.

    Args:
        embedder: The model; it is moved to the device and put into evaluation mode.
        card: What is known of it.
        device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N".
        flip: Embed each image and its mirror image, and average the two embeddings before
            normalising; twice the time.
        precision: "fp32" (also by default), or "bf16" for autocast: faster where the processor
            has it, and different vectors, so that it enters the fingerprint.
        batch_size: Images that go through the model together.
        source: The run folder or file that it was loaded from.

    Attributes:
        fingerprint: Of the model and these options.
        dimension: Components of an embedding.
        metric, preprocessing, options, versions, trained_on: See `facever.Model`.

    Raises:
        ConfigError: An unknown device or precision, or a batch size below 1.
    """

    verified = True  # `load_embedder` compares the weights with their hash

    def __init__(
        self,
        embedder: Embedder,
        card: ModelCard,
        device: str = "auto",
        flip: bool = False,
        precision: Precision | None = None,
        batch_size: int = 64,
        source: Path | None = None,
    ) -> None:
        if precision not in (None, "fp32", "bf16"):
            raise ConfigError(f"precision is '{precision}' (allowed: fp32, bf16)")
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: it must be 1 or larger")
        self.card, self.flip = card, flip
        self.precision: Literal["fp32", "bf16"] = "bf16" if precision == "bf16" else "fp32"
        self.batch_size, self._source = batch_size, source
        self.device = choose_device(device)
        self._layout = fastest_layout(embedder, self.precision, self.device)
        self.embedder = embedder.eval().to(self.device)
        self.embedder.to(memory_format=self._layout)
        self.dimension = embedder.embedding_size
        self.fingerprint = extraction_fingerprint(
            card.model_hash, flip=flip, precision=self.precision
        )
        self.metric, self.trained_on = card.metric, card.trained_on
        self.preprocessing = embedder.preprocessing.model_dump(mode="json")
        self.options = {"flip": flip, "precision": self.precision}
        self.alignment: str = embedder.config.alignment

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that compute the vectors."""
        return {
            "facever": __version__,
            "numpy": np.__version__,
            "timm": timm.__version__,
            "torch": torch.__version__,
        }

    @cached_property
    def operating_point(self) -> "OperatingPoint | None":
        """The 1:1 operating point of the run that the model was loaded from, or None.

        Raises:
            EvaluationError: Its file is damaged.
        """
        from facever.operating_point import OperatingPoint

        path = None if self._source is None else RunFolder(self._source).operating_point
        return OperatingPoint.load(path) if path is not None and path.is_file() else None

    def blocks(
        self,
        images: Manifest | Sequence[Given],
        runs: Sequence[range] | None = None,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """See `LoadedModel`; images given one by one are loaded in this process."""
        preprocessing, size = self.embedder.preprocessing, self.batch_size
        batches: Batches | Generator[Batch, None, None]
        if isinstance(images, Manifest):
            batches = plain_batches(
                images,
                preprocessing,
                batch_size=size,
                workers=workers,
                on_error=on_error,
                runs=runs,
                to_gpu=self.device.type == "cuda",
                faces=faces,
            )
        else:
            batches = given_batches(
                images, preprocessing, batch_size=size, on_error=on_error, faces=faces
            )
        waiting: tuple[Batch, Tensor] | None = None
        try:
            for batch in batches:
                begun = batch, self._forward(batch.images)
                if waiting is not None:  # one behind what an accelerator works on
                    yield _in_rows(*waiting)
                waiting = begun
            if waiting is not None:
                yield _in_rows(*waiting)
        finally:
            batches.close()

    @torch.inference_mode()
    def _forward(self, images: Tensor) -> Tensor:
        """Return embeddings [B, D] of uint8 [B, 3, H, W], on the device."""
        if not len(images):
            return torch.empty(0, self.dimension)
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=self._layout)
        with exact_fp32(), autocast(self.precision, self.device):
            embeddings: Tensor = self.embedder(images)
            if self.flip:
                embeddings = (embeddings + self.embedder(images.flip(3))) / 2
        return embeddings


def _in_rows(batch: Batch, embeddings: Tensor) -> EmbeddedBlock:
    """Return the block of all rows of a batch, zero where an image failed."""
    first = min([*batch.indices[:1].tolist(), *(row for row, _ in batch.failed[:1])])
    rows = batch.indices.numpy() - first
    block = np.zeros((len(rows) + len(batch.failed), embeddings.shape[1]), np.float32)
    block[rows] = embeddings.cpu().numpy()
    errors: list[str | None] = [None] * len(block)
    for index, reason in batch.failed:
        errors[index - first] = reason
    return EmbeddedBlock(first, block, errors, in_rows(batch.columns, errors))
