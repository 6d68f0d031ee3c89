"""Images to embeddings with a trained model: a few at once, or a whole manifest into a folder."""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever._version import __version__
from facever.core.console import progress
from facever.data.acquisition import Acquire, FaceStep
from facever.data.every_face import every_face
from facever.data.given import Given, listed
from facever.data.loading import Batch, Batches, given_batches, plain_batches
from facever.data.manifest import Manifest
from facever.data.members import file_of
from facever.data.walking import OnError
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.embeddings.unit import unit_rows
from facever.embeddings.writer import EmbeddingWriter
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.models.images import EmbeddedBlock, Workers, embed_images, features_of, in_rows
from facever.models.photos import NONE, Photos, acquisition, face_step
from facever.models.precision import autocast, choose_device, exact_fp32, fastest_layout
from facever.models.protocol import described
from facever.models.saving import ModelCard, load_embedder
from facever.models.timm_import import timm

if TYPE_CHECKING:
    from facever.operating_point import OperatingPoint

Precision: TypeAlias = Literal["fp32", "bf16"]

OPERATING_POINT = "operating_point.json"  # in a run folder


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
    return Extractor(embedder, card, device, flip, precision, batch_size, Path(model))


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
        source: The run folder or file that it was loaded from.

    Attributes:
        fingerprint: Of the model and these options.
        dimension: Components of an embedding.
        metric, preprocessing, options, versions, trained_on: See `facever.Model`.

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
        source: Path | None = None,
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise ConfigError(f"precision is '{precision}' (allowed: fp32, bf16)")
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: it must be 1 or larger")
        self.card, self.flip, self.precision = card, flip, precision
        self.batch_size, self._source = batch_size, source
        self.device = choose_device(device)
        self._layout = fastest_layout(embedder, precision, self.device)
        self.embedder = embedder.eval().to(self.device)
        self.embedder.to(memory_format=self._layout)
        self.dimension = embedder.embedding_size
        self.fingerprint = extraction_fingerprint(card.fingerprint, flip=flip, precision=precision)
        self.metric, self.trained_on = card.metric, card.trained_on
        self.preprocessing = embedder.preprocessing.model_dump(mode="json")
        self.options = {"flip": flip, "precision": precision}
        self.alignment: str = getattr(embedder.config, "alignment", NONE)

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages that make the vectors."""
        return {
            "facever": __version__,
            "numpy": np.__version__,
            "timm": timm.__version__,
            "torch": torch.__version__,
        }

    @cached_property
    def operating_point(self) -> "OperatingPoint | None":
        """The 1:1 operating point of the run that it was loaded from, where there is one.

        Raises:
            EvaluationError: Its file is damaged.
        """
        from facever.operating_point import OperatingPoint

        path = (self._source or Path()) / OPERATING_POINT
        return OperatingPoint.load(path) if self._source and path.is_file() else None

    def embed(
        self, images: Given | Sequence[Given], *, photos: Photos = None
    ) -> NDArray[np.float32]:
        """Embed a few images.

        Args:
            images: Paths, bytes of image files, Pillow images, or RGB arrays uint8 [H, W, 3] or
                [H, W] of any sizes, in any mixture; or one array uint8 [N, H, W, 3]. A single one
                counts as a list of one.
            photos: Whether they are photos, in which a face each is found and aligned, or crops;
                see `facever.models.photos.Photos`. By default what the model says (`alignment`).
                `embed_images` returns boxes, landmarks and quality beside the vectors.

        Returns:
            Rows of length 1, float32 [N, D], in the order given; of a cropper of every face a row
            for each face.

        Raises:
            ImageError: A file, or bytes, that cannot be read as an image.
            FailureToAcquire: A photo without a face.
            DataError: Something else, or an array of another kind or shape.
            ModelError: Photos for a model without alignment.
        """
        return unit_rows(self.features(images, photos=photos))[0]

    def features(
        self, images: Given | Sequence[Given], *, photos: Photos = None
    ) -> NDArray[np.float32]:
        """Embed a few images as `embed` does, without normalising the rows."""
        return features_of(self, listed(images), photos)

    def embed_images(
        self,
        images: Manifest | str | Path | Sequence[Given],
        *,
        workers: Workers | None = None,
        photos: Photos = None,
    ) -> EmbeddingSet:
        """Embed a data set, or a list of images, in memory; see `facever.models.embed_images`."""
        return embed_images(self, images, workers=workers, photos=photos)

    def extract(
        self,
        manifest: Manifest,
        out: str | Path,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        overwrite: bool = False,
        photos: Photos = None,
    ) -> EmbeddingSet:
        """Embed a manifest into a folder; an interrupted extraction goes on where it stopped.

        Several processes (see `facever.core.processes`) share the batches; the bytes are those of
        one process with as many threads as each of them has.

        Args:
            manifest: The images; row i of the result is its row i.
            out: The folder of the embedding set.
            workers: Processes that load images, 0 to load in this one, or "auto".
            on_error: "skip" lists an unreadable image in the rows, with the reason and without a
                vector; "raise" ends with its ImageError.
            overwrite: Replace an embedding set that stands at `out`.
            photos: As in `embed`; by default what the model and the data say. With a cropper of
                every face there is a row for each face: a first pass finds them.

        Returns:
            The embedding set, opened from `out`; of photos its rows say what was found, as those of
            `embed_images` do.

        Raises:
            DataError: `out` is taken, another extraction is writing there, or not one image could
                be read; crops of another alignment than the model's.
            ImageError: With `on_error` "raise".
            FailureToAcquire: With `on_error` "raise".
            ModelError: Photos for a model without alignment.
        """
        faces = face_step(self, photos, manifest)
        if faces is not None and faces.every_face:
            manifest, faces = every_face(manifest, faces, on_error)
        meta, people = self._meta(manifest, on_error, faces), self.trained_on
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
            blocks = self.blocks(manifest, runs, workers=workers, on_error=on_error, faces=faces)
            with closing(blocks):
                for first, block, errors, columns in blocks:
                    writer.write(first, block, errors, columns)
                    shown.advance(len(errors))
            return writer.finish()

    def blocks(
        self,
        images: Manifest | Sequence[Given],
        runs: Sequence[range] | None = None,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """Embed images and yield them in their order, some at a time.

        Args:
            images: A manifest; or images given as to `embed`, which are loaded in this process.
            runs: Which rows of the manifest, as runs of neighbours; None for all.
            workers: As in `extract`, like `on_error`.
            on_error: As in `extract`.
            faces: How photos become crops; None where the images are crops.

        Raises:
            ImageError: With `on_error` "raise".
            FailureToAcquire: With `on_error` "raise".
        """
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

    def _meta(self, manifest: Manifest, on_error: OnError, faces: FaceStep | None) -> EmbeddingMeta:
        # An extraction goes on only where all of this is equal: what is known of the model, the
        # images, the device and the packages that its vectors depend on.
        run = {
            "batch_size": self.batch_size,
            "on_error": on_error,
            "device": self.device.type,
        }
        return replace(
            described(self),
            dataset=manifest.dataset,
            options={**self.options, **run},
            root=str(manifest.root),
            acquisition=acquisition(faces),
        )

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
