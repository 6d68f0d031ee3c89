"""Labels in a file of their own: one per line, an array, or a table with other columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.files import read_regular
from facever.data.tables import is_table, read_table, shortened, typed
from facever.embedding_files.arrays import whole
from facever.embedding_files.choice import IDENTITIES, ROLES
from facever.embedding_files.formats import open_file
from facever.errors import DataError, unknown

_MOST_BYTES = 2 * 2**30
_TEXT = (".txt", ".lst", ".list")


def read_labels(path: Path, identities: str | None = None) -> pd.DataFrame:
    """Return the labels of vectors, in their order.

    Args:
        path: A `.txt` file with one identity per line (an empty line for an unknown one), a .csv or
            .parquet table, or an array of [N] identities in a file that `open_file` reads.
        identities: Name of the column, or array, of identities; by default it is found by name, or
            is the only one.

    Returns:
        [N], with a column `identity` and any other column; known names are those of facever
        (`camera`, `path`, `subset`).

    Raises:
        DataError: The file cannot be read, or it is ambiguous which column is meant.
    """
    if is_table(path):
        table = read_table(path)
    elif path.suffix.lower() in _TEXT:
        return pd.DataFrame({"identity": _lines(path)})
    else:
        with open_file(path) as file:
            columns = {
                name: as_column(whole(array, path)).tolist()
                for name, array in file.arrays.items()
                if array.shape and max(array.shape) == np.prod(array.shape, dtype=object)
            }
            sizes = {len(values) for values in columns.values()}
            if len(sizes) != 1:
                held = file.contents() or "no array"
                raise DataError(f"{path}: labels must be arrays [N] of one length; it holds {held}")
        table = typed(pd.DataFrame(columns), str(path))
    return _renamed(table, path, identities)


def as_column(values: NDArray[Any]) -> "pd.Series[Any]":
    """Return the values of an array [N], [1, N] or [N, 1]; NaN is a missing value."""
    return pd.Series(values.ravel())


def _lines(path: Path) -> list[str | None]:
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise DataError(f"{path} is empty")
    return [line.strip() or None for line in lines]


def _renamed(table: pd.DataFrame, path: Path, identities: str | None) -> pd.DataFrame:
    """Return a table whose columns have the names of an embedding set."""
    names = [str(name) for name in table]
    if identities is not None and identities not in names:
        raise DataError(f"{path}: {unknown('column', identities, names)}")
    found = identities or (names[0] if len(names) == 1 else _first(names, IDENTITIES, path))
    if found is None:
        raise DataError(
            f"{path} has no column of identities (found: {shortened(names)}): name it with "
            "--identities NAME (identities=)"
        )
    new = {found: "identity"}
    for column, groups in ROLES.items():
        other = _first([name for name in names if name != found], groups, None)
        if other is not None:
            new[other] = column
    kept = [name for name in names if name in new or name not in new.values()]
    return table[kept].rename(columns=new)


def _first(names: list[str], groups: tuple[str, ...], path: Path | None) -> str | None:
    for group in groups:
        matching = [name for name in names if name.lower() in group.split()]
        if len(matching) > 1 and path is not None:
            raise DataError(
                f"{path} has several columns that can be the identities ({', '.join(matching)}): "
                "choose one (--identities NAME, identities=)"
            )
        if matching:
            return matching[0]
    return None
