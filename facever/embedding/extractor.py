"""Images to embeddings with a trained model: a few at once, or a whole manifest into a folder."""

import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever._version import __version__
from facever.console import progress
from facever.data.given import Given, listed, pixels_of
from facever.data.loading import Batch, OnError, plain_batches
from facever.data.manifest import Manifest
from facever.data.members import file_of
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.models.precision import autocast, choose_device, exact_fp32, fastest_layout
from facever.models.saving import ModelCard, load_embedder
from facever.models.timm_import import timm
from facever.vectors.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.vectors.unit import unit_rows
from facever.vectors.writer import EmbeddingWriter

Precision: TypeAlias = Literal["fp32", "bf16"]


def load_model(
    model: str | Path,
    *,
    device: str = "auto",
    flip: bool = False,
    precision: Precision = "fp32",
    batch_size: int = 64,
) -> "Extractor":
    """Load a trained model for use.

    Args:
        model: A run folder, or a .safetensors file that facever wrote.
        device: As for `Extractor`, like all that follows.
        flip: See `Extractor`.
        precision: See `Extractor`.
        batch_size: See `Extractor`.

    Raises:
        ModelError: There is no usable model.

    Example:
        >>> model = facever.load_model("runs/lfw")  # doctest: +SKIP
        >>> a, b = model.embed(["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> float(a @ b)  # doctest: +SKIP
        0.71
    """
    embedder, card = load_embedder(Path(model))
    return Extractor(embedder, card, device, flip, precision, batch_size)


def extraction_fingerprint(model: str, *, flip: bool = False, precision: Precision = "fp32") -> str:
    """Return the fingerprint of a model's embeddings under these options, in hexadecimal.

    Embeddings of different fingerprints are not comparable.
    """
    options = {"flip": flip, "precision": precision}
    return hashlib.sha256(f"{model} {json.dumps(options, sort_keys=True)}".encode()).hexdigest()


class Extractor:
    """A trained model ready to embed images.

    Args:
        embedder: The model; it is moved to the device and put into evaluation mode.
        card: What is known of it.
        device: "auto" (the first GPU, else the CPU), "cpu", "cuda" or "cuda:N".
        flip: Embed each image and its mirror image, and average the two embeddings before
            normalising; twice the time.
        precision: "fp32", or "bf16" for autocast: faster where the processor has it, and
            different vectors, so that it enters the fingerprint.
        batch_size: Images that go through the model together.

    Attributes:
        fingerprint: Of the model and these options.
        dimension: Components of an embedding.

    Raises:
        ConfigError: An unknown device or precision, or a batch size below 1.
    """

    def __init__(
        self,
        embedder: Embedder,
        card: ModelCard,
        device: str = "auto",
        flip: bool = False,
        precision: Precision = "fp32",
        batch_size: int = 64,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ConfigError(f"precision is '{precision}' (allowed: fp32, bf16)")
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: it must be 1 or larger")
        self.card, self.flip, self.precision = card, flip, precision
        self.batch_size = batch_size
        self.device = choose_device(device)
        self._layout = fastest_layout(embedder, precision, self.device)
        self.embedder = embedder.eval().to(self.device)
        self.embedder.to(memory_format=self._layout)
        self.dimension = embedder.embedding_size
        self.fingerprint = extraction_fingerprint(card.fingerprint, flip=flip, precision=precision)

    def embed(self, images: Given | Sequence[Given]) -> NDArray[np.float32]:
        """Embed a few images.

        Args:
            images: Paths, bytes of image files, Pillow images, or RGB arrays uint8 [H, W, 3] or
                [H, W] of any sizes, in any mixture; or one array uint8 [N, H, W, 3]. A single one
                counts as a list of one.

        Returns:
            Rows of length 1, float32 [N, D], in the order given.

        Raises:
            ImageError: A file, or bytes, that cannot be read as an image.
            DataError: Something else, or an array of another kind or shape.
        """
        return unit_rows(self.features(images))[0]

    def features(self, images: Given | Sequence[Given]) -> NDArray[np.float32]:
        """Embed a few images as `embed` does, without normalising the rows."""
        given = listed(images)
        starts = range(0, len(given), self.batch_size)
        rows = [self._embed(given[start : start + self.batch_size]) for start in starts]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *rows])

    def extract(
        self,
        manifest: Manifest,
        out: str | Path,
        *,
        workers: int | Literal["auto"] = "auto",
        on_error: OnError = "skip",
        overwrite: bool = False,
    ) -> EmbeddingSet:
        """Embed a manifest into a folder; an interrupted extraction goes on where it stopped.

        Several processes (see `facever.processes`) share the batches; the bytes are those of one
        process with as many threads as each of them has.

        Args:
            manifest: The images; row i of the result is its row i.
            out: The folder of the embedding set.
            workers: Processes that load images, 0 to load in this one, or "auto".
            on_error: "skip" lists an unreadable image in the rows, with the reason and without a
                vector; "raise" ends with its ImageError.
            overwrite: Replace an embedding set that stands at `out`.

        Returns:
            The embedding set, opened from `out`.

        Raises:
            DataError: `out` is taken, another extraction is writing there, or not one image could
                be read.
            ImageError: With `on_error` "raise".
        """
        meta, people = self._meta(manifest, on_error), self.card.trained_on
        with (
            EmbeddingWriter(
                out,
                manifest.frame,
                meta,
                people,
                overwrite,
                file_of=lambda row: file_of(manifest.locate(row)),
            ) as writer,
            progress("embedding", len(manifest), "images") as shown,
        ):
            runs = writer.missing(self.batch_size)
            shown.start_at(len(manifest) - sum(map(len, runs)))  # others count as done
            blocks = self.blocks(manifest, runs, workers=workers, on_error=on_error)
            with closing(blocks):
                for first, block, errors in blocks:
                    writer.write(first, block, errors)
                    shown.advance(len(errors))
            return writer.finish()

    def blocks(
        self,
        manifest: Manifest,
        runs: Sequence[range] | None = None,
        *,
        workers: int | Literal["auto"] = "auto",
        on_error: OnError = "skip",
    ) -> Generator[tuple[int, NDArray[np.float32], list[str | None]], None, None]:
        """Embed a manifest and yield the rows in their order, some at a time.

        Args:
            manifest: The images.
            runs: Which rows, as runs of neighbours; None for all.
            workers: As in `extract`, like `on_error`.
            on_error: As in `extract`.

        Yields:
            The row of the first; embeddings float32 [B, D], not normalised, zero where an image
            failed; and for each row why it failed, or None.

        Raises:
            ImageError: With `on_error` "raise".
        """
        batches = plain_batches(
            manifest,
            self.embedder.preprocessing,
            batch_size=self.batch_size,
            workers=workers,
            on_error=on_error,
            runs=runs,
            to_gpu=self.device.type == "cuda",
        )
        try:
            for batch, embeddings in self._embedded(batches):
                yield _in_rows(batch, embeddings)
        finally:
            batches.close()

    def _meta(self, manifest: Manifest, on_error: OnError) -> EmbeddingMeta:
        # An extraction goes on only where all of this is equal: what is known of the model, the
        # images, the device and the packages that its vectors depend on.
        return EmbeddingMeta(
            fingerprint=self.fingerprint,
            dimension=self.dimension,
            metric=self.card.metric,
            dataset=manifest.dataset,
            preprocessing=self.embedder.preprocessing.model_dump(mode="json"),
            options={
                "flip": self.flip,
                "precision": self.precision,
                "batch_size": self.batch_size,
                "on_error": on_error,
                "device": self.device.type,
            },
            versions={
                "facever": __version__,
                "numpy": np.__version__,
                "timm": timm.__version__,
                "torch": torch.__version__,
            },
            root=str(manifest.root),
        )

    def _embed(self, images: Sequence[Given]) -> NDArray[np.float32]:
        """Embed one batch, not normalised."""
        preprocessing = self.embedder.preprocessing
        ready = np.stack([preprocessing.apply(pixels_of(image)) for image in images])
        return _on_cpu(self._forward(torch.from_numpy(ready).permute(0, 3, 1, 2)))

    def _embedded(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Yield the batches with their embeddings, one behind what an accelerator works on."""
        waiting: tuple[Batch, Tensor] | None = None
        for batch in batches:
            begun = batch, self._forward(batch.images)
            if waiting is not None:
                yield waiting[0], _on_cpu(waiting[1])
            waiting = begun
        if waiting is not None:
            yield waiting[0], _on_cpu(waiting[1])

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


def _on_cpu(embeddings: Tensor) -> NDArray[np.float32]:
    return embeddings.cpu().numpy()


def _in_rows(
    batch: Batch, embeddings: NDArray[np.float32]
) -> tuple[int, NDArray[np.float32], list[str | None]]:
    """Return a batch's first row and the block of all its rows, zero where an image failed."""
    first = min([*batch.indices[:1].tolist(), *(row for row, _ in batch.failed[:1])])
    rows = batch.indices.numpy() - first
    block = np.zeros((len(rows) + len(batch.failed), embeddings.shape[1]), np.float32)
    block[rows] = embeddings
    errors: list[str | None] = [None] * len(block)
    for index, reason in batch.failed:
        errors[index - first] = reason
    return first, block, errors
