"""The operations of every loaded model: embed a few images, a data set, or into a folder.

Torch models (`Extractor`) and ONNX models (`OnnxModel`) differ in `blocks`, and share the rest. It
imports neither torch nor, until a data set is embedded, pandas.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facever.core.console import progress
from facever.data.acquisition import Acquire, FaceStep, OnError
from facever.data.given import Given, listed
from facever.data.members import file_of
from facever.embeddings.meta import EmbeddingMeta
from facever.embeddings.unit import unit_rows
from facever.models.photos import Photos, acquisition, face_step
from facever.models.protocol import described
from facever.models.streams import EmbeddedBlock, Workers, features_of

if TYPE_CHECKING:
    import pandas as pd

    from facever.data.manifest import Manifest
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.operating_point import OperatingPoint

Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]


class LoadedModel(ABC):
    """A model ready to embed images; `facever.load_model` returns one.

    Attributes:
        fingerprint: Of the model and its options.
        dimension: Components of an embedding.
        alignment: "arcface-112", or "none" for a model that takes crops as they are.
        batch_size: Images that are embedded together.
        device: Where it computes.
        verified: Whether the fingerprint is computed from the bytes of the network, so that no
            other network can have it.
        exported_from: Fingerprint of the model that an exported file was made of; None otherwise.
        metric, preprocessing, options, trained_on: See `facever.Model`.
    """

    fingerprint: str
    dimension: int
    alignment: str
    batch_size: int
    device: Any
    verified: bool = False
    exported_from: str | None = None
    metric: str
    preprocessing: dict[str, Any]
    options: dict[str, Any]
    trained_on: "pd.DataFrame | None"

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of the packages that compute the vectors."""

    @property
    @abstractmethod
    def operating_point(self) -> "OperatingPoint | None":
        """The 1:1 operating point that comes with the model, or None."""

    @abstractmethod
    def blocks(
        self,
        images: "Manifest | Sequence[Given]",
        runs: Sequence[range] | None = None,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """Embed images and yield the embeddings in their order, in blocks.

        Args:
            images: A manifest; or images given as to `embed`.
            runs: Which rows of the manifest, as runs of neighbours; None for all.
            workers: As in `extract`, like `on_error`.
            on_error: As in `extract`.
            faces: How photos become crops; None where the images are crops.

        Raises:
            ImageError: With `on_error` "raise".
            FailureToAcquire: With `on_error` "raise".
        """

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
        images: "Manifest | str | Path | Sequence[Given]",
        *,
        workers: Workers | None = None,
        photos: Photos = None,
    ) -> "EmbeddingSet":
        """Embed a data set, or a list of images, in memory; see `facever.models.embed_images`."""
        from facever.models.images import embed_images  # pandas, for those who need it

        return embed_images(self, images, workers=workers, photos=photos)

    def extract(
        self,
        manifest: "Manifest",
        out: str | Path,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        overwrite: bool = False,
        photos: Photos = None,
    ) -> "EmbeddingSet":
        """Embed a manifest into a folder; an interrupted extraction goes on where it stopped.

        Several processes (see `facever.core.processes`) share the batches; the bytes are those of
        one process with as many threads as each of them has.

        Args:
            manifest: The images; row i of the result is its row i.
            out: The folder of the embedding set.
            workers: What loads images, 0 to load in this thread alone, or "auto": worker
                processes of a model of torch, threads of an ONNX model.
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
        from facever.data.every_face import every_face
        from facever.embeddings.writer import EmbeddingWriter

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

    def _meta(
        self, manifest: "Manifest", on_error: OnError, faces: FaceStep | None
    ) -> EmbeddingMeta:
        # An extraction goes on only where all of this is equal: what is known of the model, the
        # images, the device and the packages that its vectors depend on.
        run = {
            "batch_size": self.batch_size,
            "on_error": on_error,
            "device": str(self.device).partition(":")[0],
        }
        return replace(
            described(self),
            dataset=manifest.dataset,
            options={**self.options, **run},
            root=str(manifest.root),
            acquisition=acquisition(faces),
        )
