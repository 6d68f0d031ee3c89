"""A CSV or Parquet table with the columns path and, if known, identity."""

from pathlib import Path

from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.tables import is_table, table_suffix
from facever.errors import DataError

_IN_FOLDER = ("manifest.csv", "manifest.parquet")


def detect(root: Path) -> bool:
    """Return whether `root` is a .csv or .parquet file, or a folder with a manifest file."""
    return is_table(_table(root))


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return the table as a manifest; relative paths are relative to the table's folder.

    Raises:
        DataError: There is no such file, it has another suffix, or the table is invalid.
    """
    table = _table(root)
    if not is_table(table):
        raise DataError(
            f"{root} is not a .csv or .parquet table and contains no {' or '.join(_IN_FOLDER)}"
        )
    return (Manifest.from_csv if table_suffix(table) == ".csv" else Manifest.from_parquet)(table)


def _table(root: Path) -> Path:
    return next((root / name for name in _IN_FOLDER if (root / name).is_file()), root)
