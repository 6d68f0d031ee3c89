"""Teachers of a distillation: a trained model run on each batch, or vectors that lie ready."""

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facever.core.console import progress
from facever.data.acquisition import OnError
from facever.data.loading import Batch, plain_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.embeddings.embedding_set import META, EmbeddingSet
from facever.errors import ConfigError, DataError
from facever.models.embedder import Embedder
from facever.models.extractor import Extractor
from facever.models.loading import load_model
from facever.models.onnx.model import OnnxModel

_SHARED = ("size", "crop", "color", "interpolation")
"""What the loader does to an image; a teacher on the same pixels must want the same."""
_ROWS = 4096


class Teacher(ABC):
    """Gives the teacher's embedding of each image of a batch.

    Attributes:
        size: Components of the teacher's embedding.
        identity: What tells this teacher from others: the hash of a model of torch, else the
            fingerprint of its embeddings.
    """

    size: int
    identity: str

    @abstractmethod
    def targets(self, batch: Batch, images: Tensor) -> Tensor:
        """Return [B, size] on the images' device; NaN where the teacher has no embedding."""

    @abstractmethod
    def class_means(self) -> Tensor:
        """Return the means of each identity's unit embeddings, float32 [identities, size].

        They are taken over the training images, not augmented; an identity without any embedding
        has zeros.
        """


def open_teacher(
    path: Path, manifest: Manifest, own: Preprocessing, on_error: OnError, device: torch.device
) -> Teacher:
    """Open a model as `facever.load_model` takes it, or an embedding set.

    Args:
        path: The teacher.
        manifest: The training images.
        own: The preprocessing of the model that is trained.
        on_error: What an unreadable image does while class means are taken.
        device: Where a model of torch runs; an ONNX model runs on the CPU.

    Raises:
        ModelError, DataError: Nothing usable at `path`.
        ConfigError: A model that wants other pixels than this training makes.
        DataError: An embedding set without some of the training images.
    """
    if (path / META).is_file():
        return VectorTeacher(EmbeddingSet.load(path), manifest, str(path))
    model = load_model(path, device="cpu")
    if not isinstance(model, Extractor | OnnxModel):
        raise ConfigError(
            f"teacher {path} is a model of another package: give its embedding set as the teacher "
            f"(facever embed {path} DATA --out EMBEDDINGS)"
        )
    theirs = Preprocessing.model_validate_json(json.dumps(model.preprocessing), strict=False)
    for name in _SHARED:
        if getattr(theirs, name) != getattr(own, name):
            raise ConfigError(
                f"teacher {path} takes images of {name} {getattr(theirs, name)}, this training "
                f"makes {getattr(own, name)}: set model.preprocessing.{name} to the teacher's, or "
                f"give its embedding set as the teacher (facever embed {path} DATA --out "
                "EMBEDDINGS)"
            )
    if isinstance(model, Extractor):
        network = model.embedder.to(device).requires_grad_(False)
        # The model alone, without the options of an extraction, is what a teacher is.
        return ModelTeacher(network, model.card.model_hash, theirs, manifest, on_error, device)
    return ModelTeacher(_OnnxNetwork(model), model.fingerprint, theirs, manifest, on_error, device)


class _OnnxNetwork:
    """An ONNX model as a function of tensors, on the CPU."""

    def __init__(self, model: OnnxModel) -> None:
        self._model, self.embedding_size = model, model.dimension

    def __call__(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(self._model.embed_pixels(pixels)).to(images.device)


class ModelTeacher(Teacher):
    """A frozen model that sees the same augmented pixels as the one that is trained."""

    def __init__(
        self,
        network: "Embedder | _OnnxNetwork",
        identity: str,
        preprocessing: Preprocessing,
        manifest: Manifest,
        on_error: OnError,
        device: torch.device,
    ) -> None:
        self._network, self._preprocessing, self._device = network, preprocessing, device
        self._manifest, self._on_error = manifest, on_error
        self.size, self.identity = network.embedding_size, identity

    @torch.no_grad()
    def targets(self, batch: Batch, images: Tensor) -> Tensor:  # noqa: ARG002
        """See Teacher."""
        embeddings: Tensor = self._network(images)
        return embeddings

    def class_means(self) -> Tensor:
        """See Teacher; this runs the model once on every training image."""
        sums = _Sums(len(self._manifest.identities), self.size)
        batches = plain_batches(
            self._manifest,
            self._preprocessing,
            batch_size=128,
            on_error=self._on_error,
            to_gpu=self._device.type == "cuda",
        )
        with progress("teacher's class means", len(self._manifest), "images") as shown:
            for batch in batches:
                vectors = self.targets(batch, batch.images.to(self._device)).float().cpu()
                sums.add(vectors.numpy(), batch.labels.numpy())
                shown.advance(len(batch.labels) + len(batch.failed))
        return sums.means()


class VectorTeacher(Teacher):
    """An embedding set, whose rows are found by the paths of the images."""

    def __init__(self, embeddings: EmbeddingSet, manifest: Manifest, where: str) -> None:
        self._embeddings, self._manifest = embeddings, manifest
        self._rows = _rows_of(embeddings, manifest, where)
        self._acquired = embeddings.acquired
        self._norms = embeddings.rows["norm"].to_numpy(np.float32)
        self.size, self.identity = embeddings.meta.dimension, embeddings.meta.fingerprint

    def targets(self, batch: Batch, images: Tensor) -> Tensor:
        """See Teacher; the vectors have their length from before they were normalised."""
        vectors = self._vectors(batch.indices.numpy())
        return torch.from_numpy(vectors).to(images.device, non_blocking=True)

    def class_means(self) -> Tensor:
        """See Teacher."""
        sums = _Sums(len(self._manifest.identities), self.size)
        labels = self._manifest.labels()
        for start in range(0, len(labels), _ROWS):
            part = np.arange(start, min(start + _ROWS, len(labels)))
            sums.add(self._vectors(part), labels[part])
        return sums.means()

    def _vectors(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = self._rows[indices]
        vectors: NDArray[np.float32] = self._embeddings.vectors[rows] * self._norms[rows, None]
        vectors[~self._acquired[rows]] = np.nan
        return vectors


class _Sums:
    """Sums of unit vectors by label."""

    def __init__(self, identities: int, size: int) -> None:
        self._sums = np.zeros((identities, size))
        self._counts = np.zeros(identities, np.int64)

    def add(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        exact = vectors.astype(np.float64)
        lengths = np.linalg.norm(exact, axis=1)
        known = np.isfinite(lengths) & (lengths > 0)
        np.add.at(self._sums, labels[known], exact[known] / lengths[known, None])
        np.add.at(self._counts, labels[known], 1)

    def means(self) -> Tensor:
        means = self._sums / np.maximum(self._counts, 1)[:, None]
        return torch.from_numpy(means.astype(np.float32))


def _rows_of(embeddings: EmbeddingSet, manifest: Manifest, where: str) -> NDArray[np.int64]:
    """Return the set's row of each image: by its place on disk, else by its relative path."""
    if "path" not in embeddings.rows:
        raise DataError(f"teacher {where}: its rows have no column 'path' to find the images by")
    written = embeddings.rows["path"].astype(str).tolist()
    root = embeddings.root or ""
    placed = {os.path.join(root, path): row for row, path in enumerate(written)}  # noqa: PTH118
    relative = {path: row for row, path in enumerate(written)}
    own = manifest.frame["path"].tolist()
    rows = np.array(
        [
            placed.get(manifest.locate(index), relative.get(path, -1))
            for index, path in enumerate(own)
        ],
        np.int64,
    )
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise DataError(
            f"teacher {where} has no vector for {len(missing):,} of {len(rows):,} training images "
            f"(first: {own[missing[0]]}): embed the same data with it (facever embed)"
        )
    return rows
