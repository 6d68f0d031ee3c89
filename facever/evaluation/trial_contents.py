"""What a file of scores or a list of pairs holds, for `facever data inspect`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.core.files import open_regular
from facever.data.pairs import read_pairs
from facever.data.tables import is_table
from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.one_to_one.score_table import truth_of
from facever.evaluation.path_kinds import first_line
from facever.evaluation.score_files.bee import START
from facever.evaluation.score_files.cells import open_cells
from facever.evaluation.score_files.forms import ScoreMatrix, TrialTable
from facever.evaluation.score_files.reading import read_scores
from facever.render.blocks import Cell, Facts, Section
from facever.render.numbers import count
from facever.render.result import Result

_START = 4096


@dataclass(frozen=True)
class TrialContents(Result):
    """Contents of a file of scores, or of a list of pairs.

    None is a number that the file does not tell.

    Args:
        path: The file or folder.
        layout: Its format, such as "scores-bob5" or "pairs-lfw".
        images: The number of different images or templates that are compared.
        identities: The number of different identities.
        genuine, impostor: The numbers of trials, with failed comparisons.
        failed: The number of failed comparisons (NaN); None for pairs.
    """

    path: str
    layout: str
    images: int | None
    identities: int | None
    genuine: int | None
    impostor: int | None
    failed: int | None

    def describe(self) -> list[Section]:
        """Return the contents of the file."""
        numbers = {
            "images": self.images,
            "identities": self.identities,
            "genuine trials": self.genuine,
            "impostor trials": self.impostor,
        }
        if self.layout.startswith("scores"):
            numbers["failed comparisons"] = self.failed
        facts: list[tuple[str, Cell]] = [("layout", self.layout)]
        facts += [(k, "not in this file" if v is None else count(v)) for k, v in numbers.items()]
        return [Section("file", self.path, [Facts(facts)])]


def scores_in(path: Path) -> TrialContents:
    """Return the contents of a file of scores, or of a folder of two.

    Raises:
        DataError, EvaluationError: As `facever.evaluate.scores`.
    """
    read = read_scores(path)
    if isinstance(read, TrialTable):
        return _of_table(read, path)
    layout = f"scores-{_binary(path)}"
    height, width = read.values.shape
    people = None if read.rows is None else _distinct([read.rows, read.columns])
    images = height if read.one_set else height + width
    if read.rows is None and read.mask is None:
        return TrialContents(str(path), layout, images, people, None, None, _nan(read))
    counted = open_cells(read, distances=False, failures="nan")[1]
    return TrialContents(
        *(str(path), layout, images, people),
        *(counted.genuine, counted.impostor, counted.failed),
    )


def pairs_in(path: Path) -> TrialContents:
    """Return the contents of a list of pairs.

    Raises:
        DataError: As `facever.data.pairs.read_pairs`.
    """
    pairs = read_pairs(path)
    sides = [pairs.frame[name] for name in ("identity_a", "identity_b") if name in pairs.frame]
    genuine = int(pairs.same.sum())
    return TrialContents(
        str(path),
        f"pairs-{_list_form(path, pairs.templates)}",
        images=len(pairs.coded()[0]),
        identities=_distinct(sides) if sides else None,
        genuine=genuine,
        impostor=len(pairs) - genuine,
        failed=None,
    )


def _of_table(read: TrialTable, path: Path) -> TrialContents:
    frame = read.frame
    missing = [name for name in ("score", "label") if name not in frame]
    if missing:
        raise EvaluationError(f"{read.name} has no column {' and '.join(missing)}")
    same = truth_of(frame["label"], read.name)
    people = [people_column(frame[k]) for k in ("identity_a", "identity_b") if k in frame]
    names = [comparable_column(frame[k]) for k in ("reference", "probe") if k in frame]
    return TrialContents(
        str(path),
        f"scores-{_table_form(path)}",
        images=_distinct(names) if names else None,
        identities=_distinct(people) if people else None,
        genuine=int(same.sum()),
        impostor=int((~same).sum()),
        failed=int(frame["score"].isna().sum()),
    )


def _table_form(path: Path) -> str:
    if path.is_dir():
        return "split"
    if is_table(path):
        return "table"
    start = _start(path)
    return "npz" if start.startswith(b"PK") else f"bob{len(first_line(start).split())}"


def _binary(path: Path) -> str:
    start = _start(path)
    if START.match(start):
        return "bee"
    return "npz" if start.startswith(b"PK") else "npy"


def _list_form(path: Path, templates: bool) -> str:
    if path.is_dir():
        return "cfp"
    if is_table(path):
        return "table"
    if path.suffix in (".mat", ".bin"):
        return {".mat": "agedb", ".bin": "insightface"}[path.suffix]
    fields = first_line(_start(path)).split()
    if templates:
        return "ijb"
    if len(fields) == 3:
        return "images"
    return "lfw" if fields[0].isdigit() else "calfw"


def _start(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(_START)


def _distinct(columns: Iterable[Any]) -> int:
    return pd.concat([pd.Series(np.asarray(one, dtype=object)) for one in columns]).nunique()


def _nan(matrix: ScoreMatrix) -> int:
    if matrix.values.dtype.kind != "f":
        return 0
    return sum(int(np.isnan(row).sum()) for row in matrix.values)
