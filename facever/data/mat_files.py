"""Variables of MATLAB 5 files as Python values: numbers, texts, lists and structures."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from facever.data.mat_arrays import MatArray, UnreadArrayError, mat_arrays
from facever.data.tables import shortened
from facever.errors import DataError

MOST_BYTES = 1_000_000_000
"""Largest size of a file, of what is compressed in it, and of one array."""


def read_mat(path: Path, what: str, names: Sequence[str]) -> dict[str, Any]:
    """Return variables of a MATLAB 5 file.

    Args:
        path: The file.
        what: What it must be, for errors.
        names: The variables.

    Returns:
        Arrays without the dimensions of size 1: numbers; texts (str, one for each row); cell arrays
        (dtype object); structures (objects with their fields as attributes). Where one value is
        left, it is no array.

    Raises:
        DataError: The file cannot be read, is damaged, truncated, too large or of another version,
            holds another kind of array, or has no variable of a name.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        found = {one.name: one for one in mat_arrays(path, MOST_BYTES)}
        absent = next((name for name in names if name not in found), None)
        if absent is None:
            return {name: _value(found[name]) for name in names}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} is not {what}: {error}") from error
    shown = shortened(found) or "none"
    raise DataError(f"{path} is not {what}: it has no variable '{absent}' (found: {shown})")


def _value(array: MatArray) -> Any:
    """Return the content of an array, see `read_mat`."""
    if array.kind == "char":
        return _text(array)
    if array.kind == "cell":
        values = _objects([_value(one) for one in array.cells()], array)
    elif array.kind == "struct":
        structures = [
            SimpleNamespace(**{name: _value(field) for name, field in one.items()})
            for one in array.structures()
        ]
        values = _objects(structures, array)
    elif array.kind == "numbers":
        values = np.array(array.numbers())  # not mapped
    else:
        raise UnreadArrayError(
            f"'{array.name}' is of MATLAB's type {array.kind}, which is not read"
        )
    return np.squeeze(values)[()] if array.size else values.ravel()


def _text(array: MatArray) -> Any:
    texts = array.texts()
    if len(texts) > 1:
        return np.array(texts, dtype=f"U{array.shape[1]}")
    return texts[0] if texts else ""


def _objects(values: list[Any], array: MatArray) -> np.ndarray:
    made = np.empty(len(values), object)
    for place, value in enumerate(values):
        made[place] = value
    return made.reshape(array.shape, order="F")
