"""Text files of columns that are separated by spaces or tabs, without a header."""

import io
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow

from facever.core.files import read_regular
from facever.errors import EvaluationError
from facever.evaluation.score_files.forms import ACCEPTED

_MOST = 1 << 33  # bytes of a text file
_BLOCK = 1 << 24  # bytes per block: the maximum length of a line
_COMMENT = re.compile(rb"(?m)^[ \t]*#[^\n]*")
_UNEVEN = re.compile(rb"[\t\r]|  | \n|\n ")


def read_lines(path: Path, columns: tuple[int, ...] = ()) -> pd.DataFrame:
    """Read lines of columns: the last one is the score, the others are text.

    Empty lines and lines that begin with "#" are skipped. The number of columns is that of the
    first line.

    Args:
        path: The file, in UTF-8.
        columns: Accepted numbers of columns; all by default.

    Returns:
        The columns 0, 1, ... (categories of text), the last one float64 (NaN for "nan").

    Raises:
        EvaluationError: The file is empty or not text, a line has another number of columns than
            the first one, or a score is not a number.
        OSError: The file cannot be opened.
    """
    try:
        data = read_regular(path, _MOST)
    except ValueError as error:
        raise EvaluationError(f"{path}: {error}") from error
    if b"\0" in data[:_BLOCK]:
        raise EvaluationError(f"{path} is neither text nor a known binary format; {ACCEPTED}")
    text = _even(data)
    first = text.split(b"\n", 1)[0]
    if not first:
        raise EvaluationError(f"{path} is empty: it holds no scores")
    count = first.count(b" ") + 1
    if columns and count not in columns:
        found = "1 column" if count == 1 else f"{count} columns"
        raise EvaluationError(f"{path} has lines of {found} ({_shown(first)}); {ACCEPTED}")
    return _parsed(path, data, text, count)


def _even(data: bytes) -> bytes:
    """Return the lines without comments, with one space between two columns."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    if b"#" in data:
        data = _COMMENT.sub(b"", data)
    if _UNEVEN.search(data):
        data = re.sub(rb"[ \t]+", b" ", data)
        data = re.sub(rb" ?\r?\n ?", b"\n", data)
    return data.strip(b" \t\r\n")


def _parsed(path: Path, data: bytes, text: bytes, count: int) -> pd.DataFrame:
    names = [str(place) for place in range(count)]
    types: dict[str, pa.DataType] = dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))
    types[names[-1]] = pa.float64()
    try:
        table = arrow.read_csv(
            io.BytesIO(text),
            read_options=arrow.ReadOptions(
                column_names=names, block_size=_BLOCK, use_threads=False
            ),
            parse_options=arrow.ParseOptions(delimiter=" ", quote_char=False),
            convert_options=arrow.ConvertOptions(column_types=types, null_values=[]),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        _refuse(path, data, count)
        raise EvaluationError(f"{path} cannot be read: {error}") from error
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas()
    return frame.set_axis(range(count), axis=1)


def _refuse(path: Path, data: bytes, count: int) -> None:
    """Raise for the first line that is wrong."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(b"#"):
            continue
        where = f"{path}, line {number}"
        if len(fields) != count:
            raise EvaluationError(
                f"{where}: {len(fields)} columns, but the first line has {count} (names must not "
                "contain spaces)"
            )
        try:
            float(fields[-1])
        except ValueError:
            raise EvaluationError(
                f"{where}: the score '{_shown(fields[-1])}' is not a number; the last column must "
                "hold the score"
            ) from None
        try:
            line.decode()
        except UnicodeDecodeError:
            raise EvaluationError(f"{where} is not UTF-8: convert the file to UTF-8") from None


def _shown(text: bytes, most: int = 60) -> str:
    said = text.decode(errors="backslashreplace")
    return said if len(said) <= most else f"{said[:most]}..."
