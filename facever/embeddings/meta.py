"""Origin of a set of vectors; without pandas, so that embedding two images starts fast."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facever._version import __version__

UNDECLARED = "undeclared"


def _versions() -> dict[str, str]:
    return {"facever": __version__, "numpy": np.__version__}


@dataclass(frozen=True)
class EmbeddingMeta:
    """Origin of the vectors.

    Args:
        fingerprint: Fingerprint of the extractor (weights, preprocessing, extraction options), or
            any name that identifies the origin. Vectors with different fingerprints are never
            compared with each other.
        dimension: D.
        metric: "cosine", "euclidean" or "dot": the metric of the model's head.
        dataset: Short name of the data set.
        preprocessing: The embedder's preprocessing.
        options: Extraction options such as flip averaging and precision.
        versions: Versions of the packages used.
        root: The folder of relative paths in the rows, or None.
        acquisition: {"images": "crops"}, or {"images": "photos"} with the cropper (detector, hash
            of its file, template, face selection, minimum quality); empty if unknown, as in files
            of older versions. It is not part of the fingerprint.
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
