"""Columns of either side of a comparison, from whatever file or array: text that compares alike."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.core.text import as_text, canonical_column
from facever.errors import EvaluationError

Names = npt.NDArray[np.str_]


def comparable_column(values: ArrayLike) -> "pd.Series[str]":
    """Return a column as text (`as_text`), numbered from 0; what is missing stays missing.

    A camera is the same whether one side has it as 1 and the other as 1.0 or "1".

    Args:
        values: [N], such as cameras, templates, media or groups.
    """
    if not isinstance(values, list | tuple | pd.Series):
        values = np.asarray(values).ravel()
    return as_text(values).reset_index(drop=True)


def people_column(values: ArrayLike) -> "pd.Series[str]":
    """Return a column of identities as text, composed (NFC) and without space around them."""
    return canonical_column(comparable_column(values))


def required(column: "pd.Series[str]", size: int, name: str) -> Names:
    """Return a column of text in which no value may be missing, str [N].

    Args:
        column: As `comparable_column` or `people_column` returns it.
        size: N.
        name: What the values are called, in the plural.

    Raises:
        EvaluationError: Another number of values, or a missing one.
    """
    if len(column) != size:
        raise EvaluationError(f"{len(column)} {name} for {size} vectors")
    if column.isna().any():
        raise EvaluationError(f"{name}: value {int(column.isna().argmax())} is missing")
    return column.to_numpy().astype(str)
