"""CSV and Parquet tables, in and out, with one clear line for each thing that can be wrong."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from facever.errors import DataError, nearest
from facever.files import atomic_path

# Read as text, so that "0002" keeps its zeros and a person called "NA" their name.
_TEXT = ("path", "identity", "template", "subset", "dataset", "a", "b", "identity_a", "identity_b")


def read_table(path: Path) -> pd.DataFrame:
    """Read a .csv (UTF-8, commas, a header line) or .parquet file.

    Columns that name things are text. In a CSV only an empty cell is a missing value.

    Raises:
        DataError: No such file, another kind of file, or one that cannot be read.
    """
    if not path.is_file():
        raise DataError(f"no table at {path}")
    try:
        if _suffix(path) == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(_TEXT, str),
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty; a table begins with the names of its columns") from None
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as a table: {reason}") from error


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a .csv or .parquet file, atomically.

    Raises:
        DataError: Another suffix.
    """
    suffix = _suffix(path)
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)


def check_table(frame: pd.DataFrame, required: Sequence[str], where: str) -> pd.DataFrame:
    """Return a copy with a fresh index whose required columns are there and have no empty cell.

    Raises:
        DataError: A column is missing, there are no rows, or a required cell is empty.
    """
    columns = [str(column) for column in frame]
    for name in required:
        if name not in columns:
            found = shortened(columns) or "none"
            raise DataError(f"{where}: no column '{name}' (found: {found}){nearest(name, columns)}")
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


def as_text(column: "pd.Series[str]", where: str) -> "pd.Series[str]":
    """Return a column as text; whole numbers are taken, numbers with a point are not (2 or 2.0?).

    Raises:
        DataError: The column holds numbers with a point.
    """
    if pd.api.types.is_float_dtype(column):
        raise DataError(
            f"{where}: column '{column.name}' holds numbers with a point; give it as text"
        )
    return column.astype(str)


def check_utf8(texts: Iterable[str], where: str) -> None:
    """Refuse texts in another encoding, as names of files and of tar members may be.

    Raises:
        DataError: The first of them.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}: '{text}' is not in UTF-8: rename or rewrite it so") from None


def shortened(names: Iterable[object], most: int = 12) -> str:
    """Return the names with commas, the first `most` of them."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f", ... ({len(shown)} in all)" if len(shown) > most else "")


def _suffix(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path} is not a .csv or .parquet file")
    return path.suffix
