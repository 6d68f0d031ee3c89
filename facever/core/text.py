"""Names and other values as text: one rule for every column, list and filter.

Both sides of a comparison are converted by the same function, so that a camera stored as the number
1, as 1.0 or as "1" in different files is one camera.
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
"""The numeric columns. Every other column of a table is text, in every kind of file, except those
given by the caller.
"""

_EXACT = 2.0**63
"""Integral floats below this magnitude are written as integers."""


def canonical(name: str) -> str:
    """Return the name of an identity in stored form: composed (NFC), without surrounding spaces.

    "José" can be different code points on different systems, although it looks the same. Paths are
    never changed: file systems distinguish the two.
    """
    return unicodedata.normalize("NFC", name).strip()


def text_of(value: object) -> str:
    """Return one value as text: 1, 1.0 and numpy's 1 are "1", 1.5 is "1.5", text is unchanged.

    Raises:
        ValueError: Bytes are not UTF-8.
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
    """Return each value as text (`text_of`); missing values remain missing (None).

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
    """Return a column as text (`as_text`) in pandas' string type; one of that type unchanged."""
    if isinstance(column.dtype, pd.StringDtype):
        return column
    return pd.Series(as_text(column).tolist(), index=column.index, name=column.name)


def canonical_column(names: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column of identities as text in the form of `canonical`.

    Args:
        names: [N]; missing values remain missing.

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
