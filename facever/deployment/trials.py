"""Accuracy of an exported model and its original on the same trials."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facever.data.manifest import Manifest
from facever.data.sources import load
from facever.embeddings.embedding_set import META, EmbeddingSet
from facever.errors import DataError
from facever.evaluation.defaults import DEFAULT_FARS
from facever.models.extraction import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facever.evaluation.one_to_one.compare import ComparisonResult


@dataclass(frozen=True)
class Check:
    """Labelled images on which the error rates of both models are compared.

    Attributes:
        source: A data set, or an embedding set whose images are at their places.
        far: False accept rates; empty for the defaults that the trials support.
        protocol: As for `facever.evaluate.compare`.
        photos: Whether they are photos or crops; by default what model and data say.
    """

    source: str | Path
    far: "Sequence[float]" = ()
    protocol: str | None = None
    photos: bool | None = None


def compared(
    original: LoadedModel, exported: LoadedModel, check: Check, data: Path | None
) -> "ComparisonResult":
    """Embed labelled images by both models and compare their error rates.

    Args:
        original: The model that was exported.
        exported: The exported one.
        check: The images, and what is compared.
        data: Folder of named data sets.

    Raises:
        DataError: There is no such data, or its images are not labelled.
        EvaluationError: As for `facever.evaluate.compare`.
    """
    from facever import evaluate

    manifest = _images(check.source, data).require_identities(2)
    first, second = (
        model.embed_images(manifest, photos=check.photos) for model in (original, exported)
    )
    return evaluate.compare(
        first,
        second,
        far=list(check.far or DEFAULT_FARS),
        protocol=check.protocol,
        data=data,
        allow_overlap=True,  # reported; both models know the same people
    )


def _images(source: str | Path, data: Path | None) -> Manifest:
    """Return the images of a data set, or those of an embedding set."""
    path = Path(source)
    if not (path / META).is_file():
        return load(source, data)
    faces = EmbeddingSet.load(path)
    if not faces.root or "path" not in faces.rows:
        raise DataError(f"{path} does not say where its images are: give the data set")
    rows = faces.rows[np.asarray(faces.acquired)]
    names = [
        name for name in ("path", "identity", "subset", "template", "landmarks") if name in rows
    ]
    return Manifest.from_frame(rows[names].reset_index(drop=True), faces.root, faces.meta.dataset)
