"""Pair lists in text files: LFW's, those of CALFW and CPLFW, and lines of two images and a label.

Reference:
    LFW's README (pairs.txt: XQLFW has the same form). CALFW and CPLFW: two lines for each pair.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from facever.core.files import read_regular
from facever.data.readers import agedb, cross_lfw
from facever.data.readers.lfw import image_path
from facever.errors import DataError

FOLDS = 10
_ACCEPTED = (
    "LFW (first line '500' or '10 300'), of CALFW and CPLFW (two lines '<image> <label>' for each "
    "pair), of IJB ('<template> <template> <label>', whole numbers), or of lines "
    "'<image> <image> <label>'"
)
_LABELS = {"1": True, "0": False, "-1": False}


def read_text_pairs(path: Path) -> tuple[pd.DataFrame, bool]:
    """Return the pairs of a text file (a, b, same; fold and people where it has them).

    Also returns whether pairs may occur twice: not in LFW's lists.

    Raises:
        DataError: It is no such list, or is not complete.
    """
    text = read_regular(path).decode("utf-8-sig", errors="replace")
    rows = [_fields(line) for line in text.splitlines() if line.strip()]
    first = rows[0] if rows else []
    if len(first) in (1, 2) and all(map(_is_number, first)):
        return _lfw(rows, path), False
    if len(first) == 2 and _is_number(first[1]):
        return _two_lines(rows, path), True
    if len(first) == 3 and first[2] in _LABELS:
        return _three_fields(rows, path), True
    raise DataError(
        f"{path} is neither a .csv or .parquet table nor a pair list of {_ACCEPTED}; its first "
        f"line is '{' '.join(first)[:80]}'"
    )


def _fields(line: str) -> list[str]:
    """Return the fields of a line; if separated by tabs, names may contain spaces."""
    return [field.strip() for field in line.strip().split("\t")] if "\t" in line else line.split()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def _lfw(rows: list[list[str]], path: Path) -> pd.DataFrame:
    header = rows.pop(0)
    folds, each = int(header[0]) if len(header) == 2 else 1, int(header[-1])
    if len(rows) != 2 * folds * each:
        raise DataError(f"{path} declares {2 * folds * each} pairs but contains {len(rows)}")
    pairs = [_lfw_pair(row, index // each % 2 == 0, path) for index, row in enumerate(rows)]
    frame = pd.DataFrame(pairs, columns=["a", "b", "same", "identity_a", "identity_b"])
    if len(header) == 2:
        frame["fold"] = np.arange(len(frame)) // (2 * each)
    return frame


def _lfw_pair(row: list[str], same: bool, path: Path) -> tuple[str, str, bool, str, str]:
    """Read "Name 1 4" for a genuine pair, "Name 1 Other 2" for an impostor pair."""
    numbers = (row[1:2] + row[-1:]) if len(row) == (3 if same else 4) else []
    if not numbers or not all(map(_is_number, numbers)):
        wanted = "<Name> <number> <number>" if same else "<Name> <number> <Name> <number>"
        raise DataError(f"{path}: expected '{wanted}', found '{' '.join(row)}'")
    first, second = row[0], row[0] if same else row[2]
    i, j = map(int, numbers)
    return image_path(first, i), image_path(second, j), same, first, second


def _two_lines(rows: list[list[str]], path: Path) -> pd.DataFrame:
    """Read two lines "Ada_0001.jpg 3" for each pair: a fold or 1 if genuine, 0 if impostor.

    Where genuine pairs have several labels, these are their folds. Impostor pairs, and genuine
    pairs with one label, are divided into folds of equal size in the order of the list (ten, if
    labels do not say it). Without folds where the counts cannot be divided.
    """
    wrong = next((row for row in rows if len(row) != 2 or not _is_number(row[1])), None)
    if wrong is not None:
        raise DataError(f"{path}: expected '<image> <label>', found '{' '.join(wrong)}'")
    if len(rows) % 2:
        raise DataError(
            f"{path} has {len(rows):,} lines: a pair is two lines; its last line is incomplete or "
            "missing"
        )
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        if one[1] != two[1]:
            raise DataError(
                f"{path}: the two lines of a pair have other labels: '{' '.join(one)}', "
                f"'{' '.join(two)}'"
            )
    a, b = ([row[0] for row in rows[start::2]] for start in (0, 1))
    labels = np.array([int(row[1]) for row in rows[::2]])
    frame = pd.DataFrame({"a": a, "b": b, "same": labels > 0})
    people = [[cross_lfw.person_of(image) for image in side] for side in (a, b)]
    if None not in people[0] + people[1]:
        frame["identity_a"], frame["identity_b"] = people
    folds = _folds(labels, path)
    return frame if folds is None else frame.assign(fold=folds)


def _folds(labels: np.ndarray, path: Path) -> np.ndarray | None:
    """Return the fold of each pair from 0, int64 [M]; None if the counts allow no ten folds."""
    genuine = labels > 0
    named = np.unique(labels[genuine])
    count = len(named) if len(named) > 1 else FOLDS
    folds = np.zeros(len(labels), np.int64)
    for part in (genuine, ~genuine):
        size = int(part.sum())
        if part is genuine and len(named) > 1:
            folds[part] = np.searchsorted(named, labels[part])
        elif size % count == 0:
            folds[part] = np.arange(size) // max(size // count, 1)
        elif len(named) > 1:
            raise DataError(
                f"{path} has {count} folds of genuine pairs and {size:,} impostor pairs, which is "
                f"not a multiple of {count}: it is incomplete"
            )
        else:
            return None
    return folds


def _three_fields(rows: list[list[str]], path: Path) -> pd.DataFrame:
    """Read "<image> <image> 1"; folds as of `_two_lines`."""
    wrong = next((row for row in rows if len(row) != 3 or row[2] not in _LABELS), None)
    if wrong is not None:
        raise DataError(
            f"{path}: expected '<image> <image> <label>' with the label 1, 0 or -1, found "
            f"'{' '.join(wrong)}'"
        )
    a, b = ([row[place] for row in rows] for place in (0, 1))
    frame = pd.DataFrame({"a": a, "b": b, "same": [_LABELS[row[2]] for row in rows]})
    people = [[agedb.person_of(image) for image in side] for side in (a, b)]
    if None not in people[0] + people[1]:
        frame["identity_a"], frame["identity_b"] = people
    folds = _folds(frame["same"].to_numpy(np.int64), path)
    return frame if folds is None else frame.assign(fold=folds)
