"""Reading and writing CSV files: every cell is text, every row has as many fields as the header.

Spreadsheets evaluate a cell that begins with "=", "+", "-" or "@" as a formula. Such cells are
written with a leading apostrophe, which spreadsheets use to mark text; it is removed when reading.
"""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow

from facever.core.files import open_regular
from facever.core.text import text_column
from facever.errors import DataError

_BLOCK = 16 * 2**20  # bytes per block: the maximum length of a row
_RUN = r"'*[=+\-@\t\r]"
_IS_RUN = re.compile(_RUN)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV (UTF-8, commas, a header line) as text; only an empty cell is a missing value.

    Raises:
        DataError: The file is empty, a column name is missing or repeated, or the number of fields
            of a row differs from the header.
        OSError, ValueError, pyarrow.ArrowException: The file cannot be read.
    """
    with open_regular(path) as file:
        names, skipped = _header(file, path)
        file.seek(0)
        try:
            table = _parse(file, names, skipped)
        except pa.ArrowInvalid:
            _refuse_row(file, len(names), path)
            raise
        if table.num_rows + skipped != _count_lines(file):  # empty lines, or line ends in quotes
            _refuse_row(file, len(names), path)
    columns = [_unescaped(column) for column in table.columns]
    frame: pd.DataFrame = pa.table(columns, names=names).to_pandas()
    return frame


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table; see `cell_for_people` for cells like formulas."""
    written = {
        cell_for_people(str(name)): _escaped(frame[name])
        for name in frame  # column by column: a table can be large
    }
    pd.DataFrame(written).to_csv(path, index=False)


def cell_for_people(text: str) -> str:
    """Return a text for a cell of a CSV, with a leading apostrophe if it looks like a formula.

    Numbers, such as -1.5, are not formulas. If such a text already has a leading apostrophe,
    another one is added, so that reading returns exactly the written text.
    """
    return f"'{text}" if _IS_RUN.match(text) and not _NUMBER.fullmatch(text) else text


def _parse(file: io.FileIO, names: list[str], skipped: int) -> pa.Table:
    return arrow.read_csv(
        file,
        read_options=arrow.ReadOptions(
            column_names=names, skip_rows_after_names=skipped, block_size=_BLOCK, use_threads=False
        ),
        parse_options=arrow.ParseOptions(newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _lines(file: io.FileIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Borrowed(file)), encoding="utf-8-sig", newline="")


class _Borrowed(io.RawIOBase):
    """A file that is closed by its opener."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        return self._file.readinto(buffer)


def _header(file: io.FileIO, path: Path) -> tuple[list[str], int]:
    """Return the names of the columns and the number of lines up to them, including empty lines."""
    reader = csv.reader(_lines(file), strict=True)
    try:
        skipped = 0
        for row in reader:
            skipped += 1
            if row:
                break
        else:
            raise DataError(f"{path} is empty: a table must begin with the names of its columns")
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    names = [_text(name) or f"Unnamed: {place}" for place, name in enumerate(row)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called '{twice}': rename one of them")
    return names, skipped


def _count_lines(file: io.FileIO) -> int:
    file.seek(0)
    count, last = 0, b"\n"
    while piece := file.read(_BLOCK):
        count, last = count + piece.count(b"\n"), piece[-1:]
    return count + (last != b"\n")


def _refuse_row(file: io.FileIO, fields: int, path: Path) -> None:
    """Raise DataError with the line of the first invalid row of the table.

    The parser itself reads the text after an unclosed quote as one long cell.
    """
    file.seek(0)
    reader, first = csv.reader(_lines(file), strict=True), 1
    try:
        for row in reader:
            if row and len(row) != fields:
                raise DataError(
                    f"{path}, line {first}: {len(row)} fields; the header has {fields}. Quote a "
                    "cell that contains a comma, or add the missing fields"
                )
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {first}: {error}") from error


def _unescaped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    return pc.replace_substring_regex(column, f"^'({_RUN})", r"\1")


def _text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _IS_RUN.match(cell[1:]) else cell


def _escaped(column: "pd.Series[str]") -> "pd.Series[str]":
    if pd.api.types.is_numeric_dtype(column):
        return column
    runs = text_column(column).str.match(_RUN).fillna(False).astype(bool)
    return column.mask(runs, column[runs].map(cell_for_people)) if runs.any() else column
