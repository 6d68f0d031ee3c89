"""Columns from files and arrays, converted to text that can be compared."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.core.text import as_text, canonical_column
from facever.errors import EvaluationError

Names = npt.NDArray[np.str_]


def comparable_column(values: ArrayLike) -> "pd.Series[str]":
    """Return a column as text (`as_text`), numbered from 0; missing values stay missing.

    The values 1, 1.0 and "1" of a camera are equal.

    Args:
        values: [N], such as cameras, templates, media or groups.
    """
    if not isinstance(values, list | tuple | pd.Series):
        values = np.asarray(values).ravel()
    return as_text(values).reset_index(drop=True)


def people_column(values: ArrayLike) -> "pd.Series[str]":
    """Return a column of identities as text, composed (NFC) and stripped of space."""
    return canonical_column(comparable_column(values))


def required(column: "pd.Series[str]", size: int, name: str) -> Names:
    """Return a column of text without missing values, str [N].

    Args:
        column: A result of `comparable_column` or `people_column`.
        size: N.
        name: Name of the values, in the plural.

    Raises:
        EvaluationError: The number of values is not N, or a value is missing.
    """
    if len(column) != size:
        raise EvaluationError(f"{len(column)} {name} for {size} vectors")
    if column.isna().any():
        raise EvaluationError(f"{name}: value {int(column.isna().argmax())} is missing")
    return column.to_numpy().astype(str)
