"""Checks of a gallery's inputs: vectors by its model and their columns."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from facever.core.console import warn
from facever.data.acquisition import FACE_COLUMNS
from facever.data.crops import CROP, KeptCrop
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.meta import UNDECLARED
from facever.embeddings.probes import EmbeddedProbes
from facever.embeddings.unit import ROUNDING, first_not_unit, unit_rows
from facever.errors import DataError, GalleryError
from facever.gallery.image_filters import camera_of, time_of
from facever.gallery.records import Binding, NewImages, Vectors, person_id, text
from facever.models.protocol import Model, described
from facever.operating_point import Measured

Faces: TypeAlias = EmbeddingSet | ArrayLike
Probing: TypeAlias = Faces | EmbeddedProbes
Cameras: TypeAlias = str | int | Sequence[str | int | None] | None
Times: TypeAlias = str | datetime | Sequence[str | datetime | None] | None

_FOUND = ("image", "face", *FACE_COLUMNS)
_LEAST_QUALITY = 0.1  # weight of a photo of quality 0
_OF_A_RUN = (
    "batch_size",
    "device",
    "on_error",
    "imported",
)  # options without effect on a fingerprint


def checked_vectors(
    faces: Probing,
    fingerprint: str | None,
    binding: Binding,
    equivalents: Collection[str] = (),
) -> Vectors:
    """Return the vectors [N, D] if they were made by the gallery's model or an equivalent one.

    Args:
        faces: An EmbeddingSet, probes, unit vectors [N, D] or one [D].
        fingerprint: Fingerprint of the model, for vectors without one.
        binding: The gallery's binding.
        equivalents: Fingerprints of the models whose vectors are taken, too.

    Raises:
        GalleryError: The fingerprint is missing or different, or the vectors have another
            dimension, are NaN or not of unit length.
    """
    declared, given, acquired = fingerprint, faces, None
    if isinstance(faces, EmbeddingSet | EmbeddedProbes):
        if faces.meta.fingerprint != UNDECLARED:
            declared = faces.meta.fingerprint
        if fingerprint not in (None, declared):
            raise GalleryError(f"the embedding set has fingerprint {declared}, not {fingerprint}")
        given, acquired = faces.vectors, faces.acquired
    if declared is None or declared == UNDECLARED:
        raise GalleryError(
            "vectors without a fingerprint of their model: give fingerprint=, such as "
            f"model.fingerprint (the gallery has {binding.fingerprint})"
        )
    if declared != binding.fingerprint and declared not in equivalents:
        raise GalleryError(
            f"vectors with fingerprint {declared} do not match the gallery's fingerprint "
            f"{binding.fingerprint}: embed the images with the gallery's model"
        )
    try:
        vectors = np.ascontiguousarray(np.atleast_2d(np.asarray(given, dtype=np.float32)))
    except (TypeError, ValueError) as error:
        raise GalleryError(f"vectors must be numbers [N, D]: {error}") from error
    if vectors.ndim != 2 or vectors.shape[1] != binding.dimension:
        raise GalleryError(
            f"vectors have shape {list(vectors.shape)}, but the gallery has dimension "
            f"{binding.dimension}"
        )
    wrong = first_not_unit(vectors if acquired is None else vectors[acquired])
    if wrong is not None:
        at = wrong if acquired is None else int(np.flatnonzero(acquired)[wrong])
        length = float(np.linalg.norm(vectors[at].astype(np.float64)))
        raise GalleryError(f"vector {at} has length {length:.4g}, not 1: normalise it")
    return _normalised(vectors, acquired)


def _normalised(vectors: Vectors, acquired: NDArray[np.bool_] | None) -> Vectors:
    """Return unit rows; warn if some differ from unit length by more than float32 rounding."""
    squares = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    off = np.abs(squares - 1) > 2 * ROUNDING
    if acquired is not None:
        off &= acquired
    if not off.any():
        return vectors
    units, lengths = unit_rows(vectors[off])
    worst = lengths[np.abs(lengths - 1).argmax()]
    warn(
        f"{int(off.sum())} of {len(vectors)} vectors do not have length 1 (up to {worst:.6g}) "
        "and are divided by their lengths: normalise them in float32 when they are computed"
    )
    vectors = vectors.copy()
    vectors[off] = units
    return vectors


def failures(faces: Probing) -> dict[int, str]:
    """Return the reasons for missing vectors, by row."""
    if isinstance(faces, EmbeddedProbes):
        return {row: error for row, error in enumerate(faces.errors) if error is not None}
    if not isinstance(faces, EmbeddingSet):
        return {}
    rows = np.flatnonzero(~faces.acquired)
    return {int(row): str(faces.rows["error"].iloc[row]) for row in rows}


def _identities(faces: EmbeddingSet) -> list[str]:
    try:
        faces.require_identities()
    except DataError as error:
        raise GalleryError(
            f"{error}; or give one person for all: --person ID, people=ID"
        ) from error
    names: list[str] = faces.rows["identity"].tolist()
    return names


def images_of(
    faces: Faces,
    vectors: Vectors,
    people: str | Sequence[str] | None,
    sources: Sequence[str | None] | None,
    hashes: Sequence[str | None] | None,
    cameras: Cameras = None,
    taken: Times = None,
) -> NewImages:
    """Return vectors with their columns, by default the columns of an EmbeddingSet.

    Raises:
        GalleryError: Lengths differ, or an id, source, hash, camera or time cannot be stored.
    """
    size = len(vectors)
    norms: Sequence[float | None] = [None] * size
    qualities = photos = None
    if isinstance(faces, EmbeddingSet):
        if people is None:
            people = _identities(faces)
        sources = _paths(faces) if sources is None else sources
        norms = faces.rows["norm"].tolist()
        qualities, photos = _qualities(faces), _photos(faces)
        rows = faces.rows
        cameras = rows["camera"].tolist() if cameras is None and "camera" in rows else cameras
        taken = rows["taken"].tolist() if taken is None and "taken" in rows else taken
    if people is None:
        raise GalleryError("the person of these vectors is missing: give people=")
    of_whom = [people] * size if isinstance(people, str) else list(people)
    from_where = [None] * size if sources is None else list(sources)
    hashed = [None] * size if hashes is None else list(hashes)
    for name, values in (("person id", of_whom), ("source", from_where), ("hash", hashed)):
        if len(values) != size:
            raise GalleryError(f"{len(values)} values of {name} for {size} vectors")
        for value in values:
            if values is not of_whom and value is not None:
                text(value, f"a {name}")
    ids: dict[object, str] = {}  # a person usually has several images
    for person in of_whom:
        if not isinstance(person, str) or person not in ids:
            ids[person] = person_id(person)
    of_whom = [ids[person] for person in of_whom]
    return NewImages(
        of_whom,
        vectors,
        norms,
        from_where,
        hashed,
        qualities,
        photos=photos,
        cameras=_each(cameras, size, "camera", camera_of),
        taken=_each(taken, size, "time", time_of),
        crops=_crops(faces),
    )


def _each(
    given: object, size: int, what: str, stored: Callable[[object], str]
) -> list[str | None] | None:
    """Return the values of a column in stored form, None where missing; None without a column.

    Args:
        given: A value of each image, or one for all.
        size: Number of images.
        what: Name of a value, for messages.
        stored: Returns the stored form of a value.

    Raises:
        GalleryError: The number of values differs, or one cannot be stored.
    """
    if given is None:
        return None
    several = not isinstance(given, str) and isinstance(given, Iterable)
    values: list[Any] = list(given) if several else [given] * size  # type: ignore[call-overload]
    if len(values) != size:
        raise GalleryError(f"{len(values)} values of {what} for {size} vectors")
    known: dict[tuple[type, object], str | None] = {}
    column = []
    for row, value in enumerate(values):
        try:
            key = type(value), value
            if key not in known:
                known[key] = None if pd.isna(value) else stored(value)
            column.append(known[key])
        except (GalleryError, TypeError) as error:
            raise GalleryError(f"image {row}: {error}") from error
    return column


def _qualities(faces: EmbeddingSet) -> list[float | None] | None:
    """Return the column `quality` of an EmbeddingSet; None if it has none.

    Raises:
        GalleryError: A quality is not a number above 0.
    """
    if "quality" not in faces.rows:
        return None
    column = faces.rows["quality"].to_numpy(dtype=object)
    missing = faces.rows["quality"].isna().to_numpy(dtype=bool)
    qualities: list[float | None] = []
    if faces.meta.acquisition.get("images") == "photos":  # measured, 0 to 100
        column = np.where(column == 0, _LEAST_QUALITY, column)
    for row, (value, none) in enumerate(zip(column, missing, strict=True)):
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not none and not (number and 0 < value < np.inf):
            raise GalleryError(f"the quality of image {row} is not a number above 0")
        qualities.append(None if none else float(value))
    return qualities


def other_images(measured: Measured | None, probes: Probing) -> str:
    """Return a warning for an operating point of crops used for photos, or the reverse."""
    if measured is None or not isinstance(probes, EmbeddingSet | EmbeddedProbes):
        return ""
    return measured.other_images(probes.meta.acquisition)


def found_in(faces: Probing, count: int) -> list[dict[str, Any] | None]:
    """Return the face found in the photo of each row, by column; None for crops."""
    if not isinstance(faces, EmbeddingSet | EmbeddedProbes):
        return [None] * count
    if faces.meta.acquisition.get("images") != "photos":
        return [None] * count
    if isinstance(faces, EmbeddedProbes):
        return [{name: row[name] for name in _FOUND if name in row} for row in faces.columns]
    names = [name for name in _FOUND if name in faces.rows]
    rows = zip(*(faces.rows[name].tolist() for name in names), strict=True)
    return [
        {name: value for name, value in zip(names, row, strict=True) if not pd.isna(value)}
        for row in (rows if names else [()] * count)
    ]


def _photos(faces: EmbeddingSet) -> list[str | None] | None:
    """Return the landmarks of the faces in photos, empty if unknown; None for crops."""
    if faces.meta.acquisition.get("images") != "photos":
        return None
    known = faces.rows.get("landmarks", pd.Series([None] * len(faces)))
    return [said if isinstance(said, str) else "" for said in known.tolist()]


def _crops(faces: Faces) -> Callable[[int], KeptCrop | None] | None:
    """Return what gives the crop of a row; None for vectors that were not made with crops."""
    if not isinstance(faces, EmbeddingSet) or CROP not in faces.rows:
        return None
    held = [one if isinstance(one, KeptCrop) else None for one in faces.rows[CROP].tolist()]
    return held.__getitem__


def _paths(faces: EmbeddingSet) -> list[str | None] | None:
    """Return the paths of the images of an EmbeddingSet, absolute if its root is known."""
    if "path" not in faces.rows:
        return None
    root = Path(faces.root) if faces.root else None
    paths, missing = faces.rows["path"], faces.rows["path"].isna()
    return [
        None if none else str(root / path) if root else str(path)
        for path, none in zip(paths, missing, strict=True)
    ]


def binding_of(made_by: Model | EmbeddingSet | None, **declared: Any) -> Binding:
    """Return the binding to a model, to the model of an embedding set, or to declared values.

    Args:
        made_by: The model or the embedding set, or None for plain vectors.
        declared: Values for plain vectors: fields of `Binding`, None if not given.

    Raises:
        GalleryError: Both or neither are given, or the fingerprint or dimension is missing.
        ModelError: `made_by` is neither a model nor an embedding set.
    """
    said: dict[str, Any] = {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in declared.items()
        if value is not None
    }
    if made_by is not None:
        if said:
            raise GalleryError(
                f"both a model and its {', '.join(said)} are given: omit one of them"
            )
        meta = made_by.meta if isinstance(made_by, EmbeddingSet) else described(made_by)
        said = {field.name: getattr(meta, field.name) for field in fields(Binding)}
        said["options"] = {k: v for k, v in meta.options.items() if k not in _OF_A_RUN}
    elif missing := [name for name in ("fingerprint", "dimension") if name not in said]:
        raise GalleryError(
            "a gallery is bound to a model: give one (facever.load_model), or for plain vectors "
            f"fingerprint= and dimension= (missing: {', '.join(missing)})"
        )
    binding = Binding(**said)
    if text(binding.fingerprint, "a fingerprint") == UNDECLARED:
        raise GalleryError(
            "the fingerprint of these vectors is missing: give fingerprint='NAME OF THE MODEL'"
        )
    dimension = binding.dimension
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
        raise GalleryError(f"dimension is {dimension!r} (allowed: an integer of at least 1)")
    return binding
