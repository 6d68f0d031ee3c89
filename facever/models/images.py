"""Images to embeddings in memory, with any Model: no folder, no journal, no lock.

An unreadable image gets a reason instead of a vector.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.console import Progress, progress
from facever.data.acquisition import Acquire, OnError
from facever.data.crops import CROP, KeptCrop
from facever.data.every_face import every_face, every_face_given
from facever.data.given import Given
from facever.data.manifest import Manifest
from facever.embeddings.embedding_set import EmbeddingSet, require_some, with_outcome
from facever.embeddings.meta import EmbeddingMeta
from facever.embeddings.probes import EmbeddedProbes
from facever.embeddings.unit import unit_block
from facever.models.photos import Photos, acquisition, crop_keeper, face_step
from facever.models.protocol import Model, described
from facever.models.streams import EmbeddedBlock, Workers, stream_of

IMAGE = "image"
"""The column of which image a face is of, from 0 on, where every face of given images is wanted."""

_NO_PATH = "given without a path"
_WORTH_WORKERS = 1000  # images: starting processes takes longer than reading fewer


def embed_images(
    model: Model,
    images: Manifest | str | Path | Sequence[Given],
    *,
    workers: Workers | None = None,
    photos: Photos = None,
    keep_crops: bool = False,
) -> EmbeddingSet:
    """Embed a data set in memory; `Extractor.extract` writes one to a folder instead.

    Images are loaded in blocks and released; the vectors take 4 x D bytes per image.

    Args:
        model: Any model.
        images: A manifest, a folder that holds a folder per person, a table, or a data set's name;
            or a list of images as `Extractor.embed` takes them, of unknown people.
        workers: Processes that load images, 0 to load in this one, or "auto"; chosen by the number
            of images when not given. A model without `blocks` loads in this process.
        photos: Whether the images are photos, in which faces are found and aligned, or crops; see
            `facever.models.photos.Photos`. By default what the model and the data say.
        keep_crops: Whether the rows have the column `crop`: what the model saw of each image, a
            `facever.data.crops.KeptCrop`. It takes about 25 kB per image of 112 x 112 pixels.

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
        return embed_given(model, images, photos=photos, keep_crops=keep_crops)
    manifest = images if isinstance(images, Manifest) else load(images)
    meta = described(model)
    faces = face_step(model, photos, manifest)
    if faces is not None and faces.every_face:
        manifest, faces = every_face(manifest, faces)
    workers = workers_for(len(manifest)) if workers is None else workers
    meta = replace(
        meta, dataset=manifest.dataset, root=str(manifest.root), acquisition=acquisition(faces)
    )
    step = crop_keeper(model, faces, faces) if keep_crops else faces
    stream = stream_of(model, manifest, step, workers=workers)
    with progress("embedding", len(manifest), "images") as shown, closing(stream):
        named = partial(_row_name, manifest.frame)
        done = _collected(meta, len(manifest), stream, named, shown)
    return _as_set(model, meta, manifest.frame, done)


def embed_given(
    model: Model,
    images: Sequence[Given],
    on_error: OnError = "skip",
    *,
    photos: Photos = None,
    keep_crops: bool = False,
) -> EmbeddingSet:
    """Embed images given in any way, in this process; the rows have `path` where it is known.

    Their identities are unknown: the column `identity` is missing (None) in each row.

    Args:
        model: Any model.
        images: The images.
        on_error: "skip" or "raise".
        photos: As in `embed_images`. With a cropper of every face the column `image` says which of
            the images a row is of, from 0 on.
        keep_crops: As in `embed_images`.

    Raises:
        ImageError: With `on_error` "raise", the first image that cannot be read.
        FailureToAcquire: With `on_error` "raise", the first photo without a face.
        DataError: As in `embed_images`, or something that is not an image.
        ModelError: As in `embed_images`.
    """
    meta, owners, done = _given(model, images, on_error, photos, keep_crops)
    paths = [os.fspath(one) if isinstance(one, str | os.PathLike) else None for one in images]
    rows = pd.DataFrame({"path": pd.array(paths, dtype="string"), "identity": None})
    if owners is not None:
        rows = rows.iloc[owners].reset_index(drop=True).assign(**{IMAGE: owners})
    return _as_set(model, meta, rows, done)


def embed_probes(model: Model, images: Sequence[Given], *, photos: Photos = None) -> EmbeddedProbes:
    """Embed images given in any way as `embed_given` does, without a table.

    Raises:
        DataError: As in `embed_images`, or something that is not an image.
        ModelError: As in `embed_images`.
    """
    meta, owners, done = _given(model, images, "skip", photos)
    columns = done.columns
    if owners is not None:
        columns = [{IMAGE: owner, **said} for owner, said in zip(owners, columns, strict=True)]
    return EmbeddedProbes(done.vectors, done.errors, columns, meta)


def workers_for(images: int) -> Workers:
    """Return the number of processes that load the images fastest."""
    return "auto" if images > _WORTH_WORKERS else 0


class _Embedded(NamedTuple):
    """All blocks of a stream: unit vectors, their original lengths, failures, columns of faces, and
    the crops that are kept.
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    errors: list[str | None]
    columns: list[Mapping[str, Any]]
    crops: list[KeptCrop | None]


def _given(
    model: Model,
    images: Sequence[Given],
    on_error: OnError,
    photos: Photos,
    keep_crops: bool = False,
) -> tuple[EmbeddingMeta, list[int] | None, _Embedded]:
    """Embed images given in any way.

    Returns:
        The origin of the vectors; the position of each row's image with a cropper of every face,
        else None; and the rows.
    """
    meta, faces = described(model), face_step(model, photos)
    meta = replace(meta, acquisition=acquisition(faces))
    crops, owners, step = images, None, cast("Acquire | None", faces)
    if faces is not None and faces.every_face:
        crops, owners, step = every_face_given(images, faces, on_error)
    if keep_crops:
        step = crop_keeper(model, faces, step)

    def name(row: int) -> str:
        image = images[row if owners is None else owners[row]]
        path = os.fspath(image) if isinstance(image, str | os.PathLike) else _NO_PATH
        return f"row {row} ({path})"

    with closing(stream_of(model, crops, step, workers=0, on_error=on_error)) as stream:
        return meta, owners, _collected(meta, len(crops), stream, name)


def _collected(
    meta: EmbeddingMeta,
    count: int,
    stream: Iterable[EmbeddedBlock],
    name: Callable[[int], str],
    shown: Progress | None = None,
) -> _Embedded:
    """Return the rows of all blocks; `name` names a row, for messages."""
    vectors = np.zeros((count, meta.dimension), np.float32)
    norms = np.zeros(count, np.float32)
    reasons: list[str | None] = []
    found: list[Mapping[str, Any]] = []
    crops: list[KeptCrop | None] = []
    for first, block, errors, columns in stream:
        these = slice(first, first + len(block))
        vectors[these], norms[these] = unit_block(block, errors, partial(_named, name, first))
        reasons += errors
        said = [dict(one) for one in columns or [{}] * len(errors)]
        crops += [one.pop(CROP, None) for one in said]
        found += said
        if shown is not None:
            shown.advance(len(errors))
    require_some(meta, reasons)
    return _Embedded(vectors, norms, reasons, found, crops)


def _as_set(model: Model, meta: EmbeddingMeta, rows: pd.DataFrame, done: _Embedded) -> EmbeddingSet:
    known = getattr(model, "trained_on", None)
    rows = with_outcome(rows, done.norms, done.errors, done.columns)
    if any(done.crops):
        rows = rows.assign(**{CROP: pd.Series(done.crops, dtype=object)})
    return EmbeddingSet(done.vectors, rows, meta, known)


def _named(name: Callable[[int], str], first: int, place: int) -> str:
    """Return the name of a row of a block."""
    return name(first + place)


def _row_name(rows: pd.DataFrame, row: int) -> str:
    """Return the name of a manifest's row, for messages."""
    path = rows["path"].iloc[row]
    return f"row {row} ({_NO_PATH if pd.isna(path) else path})"
