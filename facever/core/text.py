"""Names and other values as text: one rule for every column, list and filter.

Two sides of a comparison go through the same function, so that a camera which one file holds as the
number 1, another as 1.0 and a third as "1" is one camera.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

NUMERIC = frozenset(
    {"norm", "quality", "score", "fold", "row", "width", "height", "images", "failed_images"}
    | {"detection_score"}
)
"""The columns that hold numbers. Every other column of a table is text, whatever file it is of,
but those that a caller names."""

_EXACT = 2.0**63
"""Floats below it in size are written as whole numbers where they are whole."""


def canonical(name: str) -> str:
    """Return the name of an identity as it is kept and compared: composed (NFC), without space
    around it.

    "José" typed on one system and on another may be different code points; a person sees one name.
    Paths are never changed: a file system tells the two apart.
    """
    return unicodedata.normalize("NFC", name).strip()


def text_of(value: object) -> str:
    """Return one value as text: 1, 1.0 and numpy's 1 are "1", 1.5 is "1.5", text stays as it is.

    Raises:
        ValueError: Bytes that are not UTF-8.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float | np.floating):
        whole = float(value)
        return str(int(whole)) if whole.is_integer() and abs(whole) < _EXACT else str(whole)
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    return str(value)


def as_text(values: Iterable[object]) -> "pd.Series[str]":
    """Return each value as text (`text_of`); what is missing stays missing (None).

    Args:
        values: A column, an array or a list, [N]. The index of a pandas series is kept.

    Returns:
        A series of Python strings and None (dtype object), [N].

    Raises:
        ValueError: Bytes that are not UTF-8.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(_plain(values), dtype=object)
    try:
        codes, kept = pd.factorize(series)  # a column has few different values
    except TypeError:  # lists and other values without a hash
        cells = [None if _is_missing(value) else text_of(value) for value in series]
        return pd.Series(cells, index=series.index, name=series.name, dtype=object)
    names = np.array([*(text_of(value) for value in kept), None], dtype=object)
    return pd.Series(names[codes], index=series.index, name=series.name, dtype=object)


def text_column(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column as text (`as_text`) in pandas' own type of it; one of that type as it is."""
    if isinstance(column.dtype, pd.StringDtype):
        return column
    return pd.Series(as_text(column).tolist(), index=column.index, name=column.name)


def canonical_column(names: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column of identities as text, each as `canonical` keeps it.

    Args:
        names: [N]; what is missing stays missing.

    Returns:
        [N]; the same object where all are text and canonical.
    """
    text = text_column(names)
    codes, kept = pd.factorize(text)
    made = [canonical(name) for name in kept]
    if made == list(kept):
        return text
    taken = np.array([*made, None], dtype=object)[codes]
    return pd.Series(taken.tolist(), index=names.index, name=names.name)


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _plain(values: Iterable[object]) -> list[object]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
