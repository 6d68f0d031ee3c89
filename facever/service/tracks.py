"""Several images of one person, such as a track of crops, as one probe."""

import numpy as np
import pandas as pd

from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.embeddings.unit import unit_rows
from facever.errors import DataError


def template_of(faces: EmbeddingSet) -> EmbeddingSet:
    """Return one row: the mean of the unit vectors, of unit length. Failed images are left out.

    Raises:
        DataError: The vectors cancel out.
    """
    held = faces.vectors[faces.acquired].astype(np.float64)
    vector, norm = unit_rows(held.mean(axis=0, keepdims=True))
    if not norm.all():
        raise DataError("the vectors of the track cancel out: their mean is zero")
    rows = with_outcome(pd.DataFrame({"identity": [None]}), norm, [None])
    return EmbeddingSet(vector, rows, faces.meta)


def note_of(images: int, failed: int) -> str:
    """Return a remark about a probe that is the mean of several images."""
    left_out = f", {failed} without a vector left out" if failed else ""
    return (
        f"the probe is the mean of {images - failed} images{left_out}: an operating point that was "
        "measured on single images has other rates for it"
    )
