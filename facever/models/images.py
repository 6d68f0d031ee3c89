"""Images to embeddings in memory, with any Model: no folder, no journal, no lock.

An image that cannot be read has its reason, and the others their vectors.
"""

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import Progress, progress
from facever.data.given import Given, read_images
from facever.data.manifest import Manifest
from facever.data.walking import OnError
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet, with_outcome
from facever.embeddings.unit import unit_block
from facever.errors import DataError, ModelError
from facever.models.protocol import Model, described

Workers = int | Literal["auto"]

_WORTH_WORKERS = 1000  # images: starting processes takes longer than reading fewer
_TOGETHER = 32  # images, decoded and whole, that a model without `blocks` gets at once


class EmbeddedBlock(NamedTuple):
    """Neighbouring images that were embedded together.

    Args:
        first: The position of the first.
        embeddings: float32 [B, D], not normalised; zero where an image failed.
        errors: [B], why an image could not be read, or None.
    """

    first: int
    embeddings: NDArray[np.float32]
    errors: Sequence[str | None]


@runtime_checkable
class BlockSource(Protocol):
    """What embeds images some at a time; see `Extractor.blocks`."""

    def blocks(
        self, images: Manifest | Sequence[Given], *, workers: Workers, on_error: OnError = "skip"
    ) -> Generator[EmbeddedBlock, None, None]:
        """Embed images and yield them in their order."""


def embed_images(
    model: Model, images: Manifest | str | Path, *, workers: Workers | None = None
) -> EmbeddingSet:
    """Embed a data set in memory; `Extractor.extract` writes one to a folder instead.

    Images are loaded and forgotten some at a time; the vectors take 4 x D bytes an image.

    Args:
        model: Any model.
        images: A manifest, a folder that holds a folder per person, a table, or a data set's name.
        workers: Processes that load images, 0 to load in this one, or "auto"; chosen by the number
            of images when not given. A model without `blocks` loads in this process.

    Returns:
        The manifest's rows, each with its vector, or with the reason (`error`) why it has none.

    Raises:
        DataError: No such data, not one image could be read, or an embedding is zero or NaN.
        ModelError: `model` is not one.
    """
    from facever.data.sources import load  # all readers, for those who need them

    manifest = images if isinstance(images, Manifest) else load(images)
    workers = workers_for(len(manifest)) if workers is None else workers
    meta = replace(described(model), dataset=manifest.dataset, root=str(manifest.root))
    stream = block_source(model).blocks(manifest, workers=workers)
    with progress("embedding", len(manifest), "images") as shown, closing(stream):
        return _collected(model, meta, manifest.frame, stream, shown)


def embed_given(model: Model, images: Sequence[Given], on_error: OnError = "skip") -> EmbeddingSet:
    """Embed images given in any way, in this process; the rows have `path` where it is known.

    Nobody says whom they show: the column `identity` holds "unknown" in each row.

    Raises:
        ImageError: With `on_error` "raise", the first image that cannot be read.
        DataError: As in `embed_images`, or something that is not an image.
        ModelError: `model` is not one.
    """
    paths = [os.fspath(one) if isinstance(one, str | os.PathLike) else None for one in images]
    rows = pd.DataFrame({"path": pd.array(paths, dtype="string"), "identity": "unknown"})
    stream = block_source(model).blocks(images, workers=0, on_error=on_error)
    with closing(stream):
        return _collected(model, described(model), rows, stream)


def workers_for(images: int) -> Workers:
    """Return how many processes load so many images soonest."""
    return "auto" if images > _WORTH_WORKERS else 0


def block_source(model: Model) -> BlockSource:
    """Return the model itself where it loads images in blocks, else what does so for it."""
    return model if isinstance(model, BlockSource) else _Loaded(model)


class _Loaded:
    """Loads images, in this process, for a model that only has `embed`."""

    def __init__(self, model: Model) -> None:
        self._model, self._kind = model, type(model).__name__

    def blocks(
        self, images: Manifest | Sequence[Given], *, workers: Workers, on_error: OnError = "skip"
    ) -> Generator[EmbeddedBlock, None, None]:
        if workers not in (0, "auto"):
            raise ModelError(f"{self._kind} loads images in one process: omit workers")
        for first in range(0, len(images), _TOGETHER):
            some = range(first, min(first + _TOGETHER, len(images)))
            located = [
                images.locate(i) if isinstance(images, Manifest) else images[i] for i in some
            ]
            pixels, errors = read_images(located, on_error=on_error)
            block = np.zeros((len(some), self._model.dimension), np.float32)
            if pixels:
                block[[error is None for error in errors]] = self._embed(pixels)
            yield EmbeddedBlock(first, block, errors)

    def _embed(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows = np.asarray(self._model.embed(pixels), np.float32)
        if rows.shape != (wanted := (len(pixels), self._model.dimension)):
            raise ModelError(
                f"{self._kind}.embed returned shape {list(rows.shape)} for {len(pixels)} images, "
                f"not {list(wanted)}"
            )
        return rows


def _collected(
    model: Model,
    meta: EmbeddingMeta,
    rows: pd.DataFrame,
    stream: Iterable[EmbeddedBlock],
    shown: Progress | None = None,
) -> EmbeddingSet:
    """Return the embedding set of all blocks."""
    vectors = np.zeros((len(rows), meta.dimension), np.float32)
    norms = np.zeros(len(rows), np.float32)
    reasons: list[str | None] = []
    names = rows["path"].fillna("given without a path").tolist()
    for first, block, errors in stream:
        these = slice(first, first + len(block))
        named = [f"row {first + i} ({name})" for i, name in enumerate(names[these])]
        vectors[these], norms[these] = unit_block(block, errors, named.__getitem__)
        reasons += errors
        if shown is not None:
            shown.advance(len(errors))
    if reasons and None not in reasons:
        raise DataError(f"not one of {len(reasons)} images could be read, first: {reasons[0]}")
    known = getattr(model, "trained_on", None)
    return EmbeddingSet(vectors, with_outcome(rows, norms, reasons), meta, known)
