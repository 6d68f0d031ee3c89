"""IJB's pair lists: two template numbers and 1 or 0 in each line, 15.7 million lines in IJB-C."""

from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow

from facever.core.files import open_regular, read_regular
from facever.errors import DataError

_NAME = "_template_pair_label.txt"
_FIELDS = ("a", "b", "same")
_FIRST = 256  # bytes that hold the first line
_BLOCK = 16 * 2**20  # bytes read at a time
_LARGEST = 2**31 - 1

Codes = npt.NDArray[np.int32]


class TemplatePairs(NamedTuple):
    """Pairs of templates.

    Attributes:
        names: The templates of the list, in the order of their numbers.
        a, b: int32 [M], positions in `names`.
        same: Bool [M], whether both templates are of one person.
    """

    names: list[str]
    a: Codes
    b: Codes
    same: npt.NDArray[np.bool_]


def is_template_pairs(path: Path) -> bool:
    """Return whether a file has the name of IJB's list, or a first line of three whole numbers."""
    if path.name.endswith(_NAME):
        return True
    with open_regular(path) as file:
        words = file.read(_FIRST).split(b"\n")[0].split()
    return len(words) == len(_FIELDS) and all(word.isdigit() for word in words)


def read_template_pairs(path: Path) -> TemplatePairs:
    """Read IJB's list of template pairs, such as `ijbc_template_pair_label.txt`.

    Memory: 9 bytes for each pair, and twice that while reading.

    Raises:
        DataError: The list is empty, or a line is not two whole numbers and 1 or 0.
    """
    try:
        parts = _parse(path)
    except (pa.ArrowException, ValueError):  # spaces in other places, or a wrong line
        parts = _parse_slowly(path)
    if not parts:
        raise DataError(f"{path} is empty: each line must be two templates, and 1 or 0")
    numbers = np.unique(np.concatenate([np.unique(side) for part in parts for side in part[:2]]))
    sides = []
    for side in (0, 1):
        sides.append(
            np.concatenate(
                [np.searchsorted(numbers, part[side]).astype(np.int32) for part in parts]
            )
        )
    same = np.concatenate([part[2] for part in parts])
    return TemplatePairs([str(number) for number in numbers.tolist()], sides[0], sides[1], same)


_Part = tuple[Codes, Codes, npt.NDArray[np.bool_]]


def _parse(path: Path) -> list[_Part]:
    """Return the columns of each block; raise ValueError or an error of Arrow if it is unsure."""
    parts: list[_Part] = []
    if not path.stat().st_size:
        return parts
    with open_regular(path) as file:
        reader = arrow.open_csv(
            file,
            read_options=arrow.ReadOptions(
                column_names=list(_FIELDS), block_size=_BLOCK, use_threads=False
            ),
            parse_options=arrow.ParseOptions(delimiter=" ", quote_char=False),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(_FIELDS, pa.int32()), null_values=[]
            ),
        )
        for batch in reader:
            a, b, same = (column.to_numpy() for column in batch.columns)
            if min(a.min(initial=0), b.min(initial=0), same.min(initial=0)) < 0 or same.max() > 1:
                raise ValueError("a number out of range")
            parts.append((a, b, same.astype(bool)))
    return parts


def _parse_slowly(path: Path) -> list[_Part]:
    """Read line by line, with any space between the fields; raise DataError for the first wrong."""
    columns = array("i"), array("i"), array("b")
    for number, line in enumerate(read_regular(path).split(b"\n"), 1):
        words = line.split()
        if not words:
            continue
        values = [int(word) if word.isdigit() else -1 for word in words]
        fits = len(values) == len(_FIELDS) and min(values) >= 0 and max(values) <= _LARGEST
        if not fits or values[2] > 1:
            shown = line.decode(errors="replace").strip()[:60]
            raise DataError(
                f"{path}, line {number}: '{shown}' is not two template numbers and 1 or 0: "
                "correct the line, or copy the complete list"
            )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    a, b = (np.frombuffer(column, np.int32) for column in columns[:2])
    return [(a, b, np.frombuffer(columns[2], np.int8).astype(bool))] if len(a) else []
