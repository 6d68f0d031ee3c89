"""Images to embeddings in memory, with any Model: no folder, no journal, no lock.

An image that cannot be read has its reason, and the others their vectors.
"""

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import Progress, progress
from facever.data.acquisition import Acquire
from facever.data.every_face import every_face, every_face_given
from facever.data.given import Given, read_images
from facever.data.manifest import Manifest
from facever.data.walking import OnError
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet, with_found, with_outcome
from facever.embeddings.unit import unit_block
from facever.errors import DataError, ModelError
from facever.models.photos import Photos, acquisition, face_step
from facever.models.protocol import Model, described

Workers = int | Literal["auto"]

IMAGE = "image"
"""The column of which image a face is of, from 0 on, where every face of given images is wanted."""

_WORTH_WORKERS = 1000  # images: starting processes takes longer than reading fewer
_TOGETHER = 32  # images, decoded and whole, that a model without `blocks` gets at once


class EmbeddedBlock(NamedTuple):
    """Neighbouring images that were embedded together.

    Args:
        first: The position of the first.
        embeddings: float32 [B, D], not normalised; zero where an image failed.
        errors: [B], why an image could not be read, or a photo has no face, or None.
        columns: [B], what was found in each photo; empty for crops.
    """

    first: int
    embeddings: NDArray[np.float32]
    errors: Sequence[str | None]
    columns: Sequence[Mapping[str, Any]] = ()


@runtime_checkable
class BlockSource(Protocol):
    """What embeds images some at a time; see `Extractor.blocks`.

    Photos are given with `faces`, which makes crops of them; one that cannot take it is given
    crops, by `embed`.
    """

    def blocks(
        self,
        images: Manifest | Sequence[Given],
        *,
        workers: Workers,
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """Embed images and yield them in their order."""


def embed_images(
    model: Model,
    images: Manifest | str | Path | Sequence[Given],
    *,
    workers: Workers | None = None,
    photos: Photos = None,
) -> EmbeddingSet:
    """Embed a data set in memory; `Extractor.extract` writes one to a folder instead.

    Images are loaded and forgotten some at a time; the vectors take 4 x D bytes an image.

    Args:
        model: Any model.
        images: A manifest, a folder that holds a folder per person, a table, or a data set's name;
            or a list of images as `Extractor.embed` takes them, of unknown people.
        workers: Processes that load images, 0 to load in this one, or "auto"; chosen by the number
            of images when not given. A model without `blocks` loads in this process.
        photos: Whether the images are photos, in which faces are found and aligned, or crops; see
            `facever.models.photos.Photos`. By default what the model and the data say.

    Returns:
        The manifest's rows, each with its vector, or with the reason (`error`) why it has none.
        Photos have `box`, `landmarks`, `detection_score`, `quality` and `quality_reasons` of their
        face too (see `facever.data.acquisition.face_columns`); of a cropper of every face there is
        a row for each face, numbered in the column `face`.

    Raises:
        DataError: No such data, not one image could be read, or an embedding is zero or NaN.
        ModelError: `model` is not one, or needs crops and gets photos.

    Example:
        >>> found = embed_images(model, ["a.jpg", "b.jpg"], photos=True)  # doctest: +SKIP
        >>> found.vectors.shape, found.rows["box"].tolist()  # doctest: +SKIP
        ((2, 128), ['81.4 70.2 92.3 118.5', '77.0 66.1 96.2 124.0'])
    """
    from facever.data.sources import load  # all readers, for those who need them

    if not isinstance(images, Manifest | str | Path):
        return embed_given(model, images, photos=photos)
    manifest = images if isinstance(images, Manifest) else load(images)
    meta = described(model)
    faces = face_step(model, photos, manifest)
    if faces is not None and faces.every_face:
        manifest, faces = every_face(manifest, faces)
    workers = workers_for(len(manifest)) if workers is None else workers
    meta = replace(
        meta, dataset=manifest.dataset, root=str(manifest.root), acquisition=acquisition(faces)
    )
    stream = stream_of(model, manifest, faces, workers=workers)
    with progress("embedding", len(manifest), "images") as shown, closing(stream):
        return _collected(model, meta, manifest.frame, stream, shown)


def embed_given(
    model: Model,
    images: Sequence[Given],
    on_error: OnError = "skip",
    *,
    photos: Photos = None,
) -> EmbeddingSet:
    """Embed images given in any way, in this process; the rows have `path` where it is known.

    Nobody says whom they show: the column `identity` holds "unknown" in each row.

    Args:
        model: Any model.
        images: The images.
        on_error: "skip" or "raise".
        photos: As in `embed_images`. With a cropper of every face the column `image` says which of
            the images a row is of, from 0 on.

    Raises:
        ImageError: With `on_error` "raise", the first image that cannot be read.
        FailureToAcquire: With `on_error` "raise", the first photo without a face.
        DataError: As in `embed_images`, or something that is not an image.
        ModelError: As in `embed_images`.
    """
    meta, faces = described(model), face_step(model, photos)
    paths = [os.fspath(one) if isinstance(one, str | os.PathLike) else None for one in images]
    rows = pd.DataFrame({"path": pd.array(paths, dtype="string"), "identity": "unknown"})
    meta = replace(meta, acquisition=acquisition(faces))
    if faces is None or not faces.every_face:
        with closing(stream_of(model, images, faces, workers=0, on_error=on_error)) as stream:
            return _collected(model, meta, rows, stream)
    crops, owners, known = every_face_given(images, faces, on_error)
    rows = rows.iloc[owners].reset_index(drop=True).assign(**{IMAGE: owners})
    with closing(stream_of(model, crops, known, workers=0)) as stream:
        return _collected(model, meta, rows, stream)


def features_of(model: Model, images: Sequence[Given], photos: Photos) -> NDArray[np.float32]:
    """Embed a few images by a model with `blocks`; the first that cannot be ends it.

    Returns:
        float32 [N, D], not normalised; of a cropper of every face a row for each face.
    """
    faces: Acquire | None = (step := face_step(model, photos))
    if step is not None and step.every_face:
        images, _, faces = every_face_given(images, step, "raise")
    stream = stream_of(model, images, faces, workers=0, on_error="raise")
    rows = [block.embeddings for block in stream]
    return np.concatenate([np.empty((0, model.dimension), np.float32), *rows])


def stream_of(
    model: Model,
    images: Manifest | Sequence[Given],
    faces: Acquire | None,
    *,
    workers: Workers,
    on_error: OnError = "skip",
) -> Generator[EmbeddedBlock, None, None]:
    """Embed images by a model and yield them in their order, some at a time.

    Args:
        model: Any model; one without `blocks` that can take these images gets them by `embed`.
        images: A manifest, or images given in any way.
        faces: How photos become crops; None where the images are crops.
        workers: As in `embed_images`.
        on_error: "skip" or "raise".
    """
    if not isinstance(model, BlockSource):
        source: BlockSource = _Loaded(model)
    elif faces is None:  # a model of one's own need not know of photos
        return model.blocks(images, workers=workers, on_error=on_error)
    else:
        able = "faces" in signature(model.blocks).parameters
        source = model if able else _Loaded(model)
    return source.blocks(images, workers=workers, on_error=on_error, faces=faces)


def workers_for(images: int) -> Workers:
    """Return how many processes load so many images soonest."""
    return "auto" if images > _WORTH_WORKERS else 0


class _Loaded:
    """Loads images, in this process, for a model that only has `embed`."""

    def __init__(self, model: Model) -> None:
        self._model, self._kind = model, type(model).__name__

    def blocks(
        self,
        images: Manifest | Sequence[Given],
        *,
        workers: Workers,
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        if workers not in (0, "auto"):
            raise ModelError(f"{self._kind} loads images in one process: omit workers")
        for first in range(0, len(images), _TOGETHER):
            some = range(first, min(first + _TOGETHER, len(images)))
            located = [
                images.locate(i) if isinstance(images, Manifest) else images[i] for i in some
            ]
            pixels, errors, found = read_images(located, None, on_error, faces, first)
            block = np.zeros((len(some), self._model.dimension), np.float32)
            if pixels:
                block[[error is None for error in errors]] = self._embed(pixels)
            yield EmbeddedBlock(first, block, errors, in_rows(found, errors))

    def _embed(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows = np.asarray(self._model.embed(pixels), np.float32)
        if rows.shape != (wanted := (len(pixels), self._model.dimension)):
            raise ModelError(
                f"{self._kind}.embed returned shape {list(rows.shape)} for {len(pixels)} images, "
                f"not {list(wanted)}"
            )
        return rows


def in_rows(
    found: Sequence[Mapping[str, Any]], errors: Sequence[str | None]
) -> Sequence[Mapping[str, Any]]:
    """Return what was found in the photos that did not fail as a list for all; empty for crops."""
    if not any(found):
        return ()
    each = iter(found)
    return [next(each) if error is None else {} for error in errors]


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
    found: list[Mapping[str, Any]] = []
    for first, block, errors, columns in stream:
        these = slice(first, first + len(block))
        named = [f"row {first + i} ({name})" for i, name in enumerate(names[these])]
        vectors[these], norms[these] = unit_block(block, errors, named.__getitem__)
        reasons += errors
        found += columns or [{}] * len(errors)
        if shown is not None:
            shown.advance(len(errors))
    if reasons and None not in reasons:
        raise DataError(f"not one of {len(reasons)} images could be read, first: {reasons[0]}")
    known = getattr(model, "trained_on", None)
    return EmbeddingSet(vectors, with_outcome(with_found(rows, found), norms, reasons), meta, known)
