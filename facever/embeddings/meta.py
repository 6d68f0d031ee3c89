"""What made a set of vectors, and how; without pandas, for who embeds two images and no more."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facever._version import __version__

UNDECLARED = "undeclared"


def _versions() -> dict[str, str]:
    return {"facever": __version__, "numpy": np.__version__}


@dataclass(frozen=True)
class EmbeddingMeta:
    """What made the vectors, and how.

    Args:
        fingerprint: Of the extractor (weights, preprocessing, extraction options), or any name that
            tells one origin of vectors from another. Vectors of different fingerprints are never
            compared with each other.
        dimension: D.
        metric: "cosine", "euclidean" or "dot": how the model's head wants them compared.
        dataset: Short name of the data set.
        preprocessing: The embedder's preprocessing.
        options: Extraction options such as flip averaging and precision.
        versions: Of the packages that made them.
        root: The folder that relative paths in the rows are relative to, where there is one.
        acquisition: {"images": "crops"}, or {"images": "photos"} and what cut the faces (detector,
            hash of its file, template, which face, quality gate); empty where that is not known,
            as in files of older versions. It does not enter the fingerprint.
    """

    fingerprint: str
    dimension: int
    metric: str = "cosine"
    dataset: str = ""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=_versions)
    root: str | None = None
    acquisition: dict[str, Any] = field(default_factory=dict)
