"""Two sides of vectors and names, checked before they are compared."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.columns import Names
from facever.evaluation.scoring.similarity import Floats, Ints


def checked_rows(vectors: ArrayLike, name: str) -> Floats:
    """Return vectors as float32 [N, D], refusing what cannot be compared."""
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or not rows.size:
        raise EvaluationError(f"{name} must be a matrix [N, D], not of shape {rows.shape}")
    wrong = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))
    if len(wrong):
        raise EvaluationError(f"row {wrong[0]} of the {name} holds NaN or infinity")
    return rows


def shared_codes(sides: Sequence[Names | npt.NDArray[np.object_]]) -> list[Ints]:
    """Number the names of two sides, equal names alike."""
    codes = pd.factorize(np.concatenate(sides))[0].astype(np.int64)
    return [codes[: len(sides[0])], codes[len(sides[0]) :]]
