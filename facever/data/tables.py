"""Reading and writing of CSV and Parquet tables, with a one-line message for every error.

Every column is text, as written or as `facever.core.text.text_of` writes it, except those of
`facever.core.text.NUMERIC` and those given by the caller.
"""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from facever.core.files import atomic_path, open_regular
from facever.core.text import NUMERIC, text_column
from facever.data.csv_files import read_csv, write_csv
from facever.errors import DataError, nearest

SUFFIXES = (".csv", ".parquet")
"""Suffixes of tables, in lower case; file names may have capital letters."""

_INDEX = re.compile(r"__index_level_\d+__")  # row numbers of pandas


def read_table(path: str | os.PathLike[str], numbers: Collection[str] = ()) -> pd.DataFrame:
    """Read a .csv (UTF-8, commas, a header line) or .parquet file.

    Args:
        path: The file.
        numbers: Further numeric columns, in addition to `NUMERIC`.

    Returns:
        Text and numbers. In a CSV, only an empty cell is a missing value.

    Raises:
        DataError: There is no such file, it has another suffix or cannot be read, a row has more or
            fewer fields than the header, or a numeric column contains another value.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no table at {path}")
    try:
        frame = _read_parquet(path) if table_suffix(path) == ".parquet" else read_csv(path)
    except (ValueError, OSError, pa.ArrowException, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())
        if isinstance(error, UnicodeDecodeError):
            reason += ": save it in UTF-8"
        raise DataError(f"{path} cannot be read as a table: {reason}") from error
    return typed(frame, str(path), numbers)


def write_table(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a .csv or .parquet file, atomically.

    Raises:
        DataError: The suffix is neither .csv nor .parquet.
    """
    suffix = table_suffix(path)
    with atomic_path(Path(path)) as temporary:
        if suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            write_csv(frame, temporary)


def table_suffix(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a table's name, in lower case.

    Raises:
        DataError: It is not one of `SUFFIXES`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is not a .csv or .parquet file")
    return suffix


def is_table(path: str | os.PathLike[str]) -> bool:
    """Return whether a name has the suffix .csv or .parquet, in upper or lower case."""
    return Path(path).suffix.lower() in SUFFIXES


def typed(frame: pd.DataFrame, where: str, numbers: Collection[str] = ()) -> pd.DataFrame:
    """Return a table with text columns, and numbers in numeric columns.

    Args:
        frame: A table of any origin.
        where: Name of the table for errors.
        numbers: Further numeric columns, in addition to `NUMERIC`.

    Raises:
        DataError: Two columns have the same name, bytes are not UTF-8, or a numeric column contains
            another value.
    """
    names = [str(name) for name in frame]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where} has two columns called '{twice}': rename one of them")
    declared = NUMERIC | set(numbers)
    columns = {
        name: to_numbers(column, where) if name in declared else _to_text(column, where)
        for name, (_, column) in zip(names, frame.items(), strict=True)
    }
    return pd.DataFrame(columns, index=frame.index)


def to_numbers(column: "pd.Series[Any]", where: str) -> "pd.Series[float]":
    """Return a column as numbers (int64, or float64 with NaN for missing values).

    Raises:
        DataError: A cell is not a number; the message has the first one.
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        return column
    text = text_column(column)
    made = pd.to_numeric(text, errors="coerce")
    wrong = made.isna() & text.notna() & (text.str.lower() != "nan")
    if wrong.any():
        row = int(wrong.to_numpy(bool).argmax())
        raise DataError(
            f"{where}: column '{column.name}' must hold numbers; row {row + 1} holds "
            f"'{text.iloc[row]}': correct it, or rename the column"
        )
    return made


def check_table(frame: pd.DataFrame, required: Sequence[str], where: str) -> pd.DataFrame:
    """Return a copy with a new index, checked for required columns without empty cells.

    Raises:
        DataError: A column is missing, there are no rows, or a required cell is empty.
    """
    columns = [str(column) for column in frame]
    for name in required:
        if name not in columns:
            found = shortened(columns) or "none"
            only = len(columns) == 1 and re.search(r"[;\t|]", columns[0])
            mend = "; separate the columns by commas" if only else nearest(name, columns)
            raise DataError(f"{where}: no column '{name}' (found: {found}){mend}")
    if frame.empty:
        raise DataError(f"{where}: no rows")
    frame = frame.reset_index(drop=True)
    for name in required:
        empty = (frame[name].isna() | (frame[name].astype(str).str.strip() == "")).to_numpy(bool)
        if empty.any():
            rows, first = int(empty.sum()), int(empty.argmax()) + 1
            raise DataError(
                f"{where}: no {name} in {rows} of {len(frame)} rows, first in row {first}"
            )
    return frame


def check_utf8(texts: Iterable[str], where: str) -> None:
    """Refuse texts that are not UTF-8, as names of files and of tar members can be.

    Raises:
        DataError: A text is not UTF-8; the message has the first one.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{where}: '{text}' is not in UTF-8: rename it, or convert it to UTF-8"
            ) from None


def shortened(names: Iterable[object], most: int = 12) -> str:
    """Return the first `most` names, separated by commas."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f", ... ({len(shown)} in all)" if len(shown) > most else "")


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet  # takes 10 to 20 ms to import

    with open_regular(path) as file:
        table = parquet.ParquetFile(file).read().replace_schema_metadata(None)
    table = table.select([k for k, name in enumerate(table.column_names) if not _INDEX.match(name)])
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return frame


def _to_text(column: "pd.Series[str]", where: str) -> "pd.Series[str]":
    try:
        return text_column(column)
    except ValueError as error:
        raise DataError(f"{where}: column '{column.name}' is not UTF-8 text: {error}") from error
