"""The front door: scores of any accepted form, recognised by content, as a table or a matrix."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.core.files import open_regular
from facever.data.tables import is_table, read_table
from facever.errors import EvaluationError
from facever.evaluation.score_files.arrays import (
    COLUMNS,
    MASK,
    ROWS,
    check_real,
    load_npy,
    load_npz,
    matrix_in,
)
from facever.evaluation.score_files.bee import START, read_bee
from facever.evaluation.score_files.bob import read_bob
from facever.evaluation.score_files.forms import (
    GENUINE,
    IMPOSTOR,
    NOT_COMPARED,
    Mask,
    ScoreMatrix,
    TrialTable,
)
from facever.evaluation.score_files.labels import identities_of
from facever.evaluation.score_files.split import in_order, pair_of_folder, read_pair

Source = ArrayLike | str | Path | Sequence[str | Path]
"""A file, a folder with a genuine and an impostor file, two such files, or a matrix [Q, T]."""

_BLOCK = 512  # rows of a matrix compared at a time


def is_stored(source: Source) -> bool:
    """Return whether scores are in a file, a folder or several files, not in arrays."""
    if isinstance(source, str | Path):
        return True
    listed = isinstance(source, list | tuple) and len(source) > 0
    return listed and all(isinstance(one, str | Path) for one in source)  # type: ignore[union-attr]


def read_scores(
    source: Source,
    *,
    rows: ArrayLike | str | Path | None = None,
    columns: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
) -> TrialTable | ScoreMatrix:
    """Read scores of any accepted form.

    Args:
        source: See `Source`.
        rows, columns: Identities of the rows (probes) and columns (references) of a matrix, or a
            file with them; see `identities_of`. If `columns` is missing and the matrix is square,
            its rows and columns are the same images.
        mask: Mask of a matrix, uint8 [Q, T] of 0x00, 0x7f and 0xff, or a BEE mask file.

    Raises:
        EvaluationError, DataError: The form is unknown, a file is damaged, or the parts do not fit
            each other.
    """
    found = _read(source)
    given = {"rows": rows, "columns": columns, "mask": mask}
    if isinstance(found, ScoreMatrix):
        return _completed(found, rows, columns, mask)
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise EvaluationError(
            f"{found.name} is a list of trials, not a matrix: omit {' and '.join(named)}"
        )
    return found


def _read(source: Source) -> TrialTable | ScoreMatrix:
    if isinstance(source, str | Path):
        return _read_path(Path(source))
    if is_stored(source):
        paths = [Path(str(one)) for one in cast(Sequence[str | Path], source)]
        if len(paths) > 2:
            raise EvaluationError(
                f"{len(paths)} files of scores: give one file, or a genuine and an impostor file"
            )
        return _read_two(*in_order(paths)) if len(paths) == 2 else _read_path(paths[0])
    return ScoreMatrix(
        check_real(np.asarray(cast(ArrayLike, source)), "the matrix of scores"), "the matrix"
    )


def _read_two(genuine: Path, impostor: Path) -> TrialTable:
    for path in (genuine, impostor):
        if not path.is_file():
            raise EvaluationError(f"no scores at {path}")
    return TrialTable(read_pair(genuine, impostor), f"{genuine}, {impostor}")


def _read_path(path: Path) -> TrialTable | ScoreMatrix:
    if path.is_dir():
        return _read_two(*pair_of_folder(path))
    if is_table(path):
        return TrialTable(read_table(path), str(path))
    if not path.exists():
        raise EvaluationError(f"no scores at {path}")
    with open_regular(path) as file:
        start = file.read(8)
    if not start:
        raise EvaluationError(f"{path} is empty: it holds no scores")
    if start.startswith(b"\x93NUMPY"):
        return ScoreMatrix(check_real(load_npy(path, mapped=True), str(path)), str(path))
    if start.startswith(b"PK") or path.suffix.lower() == ".npz":
        return _of_npz(path)
    if START.match(start):
        return _of_bee(path)
    if start.startswith(b"PAR1"):
        raise EvaluationError(f"{path} is a Parquet file: rename it to end in .parquet")
    return TrialTable(read_bob(path), str(path))


def _of_npz(path: Path) -> TrialTable | ScoreMatrix:
    arrays = load_npz(path)
    found = matrix_in(arrays, path)
    if found is None:
        try:
            return TrialTable(pd.DataFrame(arrays), str(path))
        except ValueError as error:
            raise EvaluationError(f"{path} is not an npz file of columns: {error}") from error
    values, parts = found
    made = ScoreMatrix(check_real(values, str(path)), str(path))
    return _completed(made, parts.get(ROWS), parts.get(COLUMNS), parts.get(MASK))


def _of_bee(path: Path) -> ScoreMatrix:
    found = read_bee(path)
    if found.is_mask:
        raise EvaluationError(
            f"{path} is a mask: give the file of the scores, and the mask with --mask (in Python "
            "mask=)"
        )
    one_set = None
    if found.queries and found.targets:
        square = found.values.shape[0] == found.values.shape[1]
        one_set = square and found.queries == found.targets
    made = ScoreMatrix(found.values, str(path), one_set=one_set, distances=bool(found.distances))
    queries, targets = (found.sigset(path.parent, queries) for queries in (True, False))
    return made if None in (queries, targets) else _completed(made, queries, targets, None)


def _completed(
    matrix: ScoreMatrix,
    rows: ArrayLike | str | Path | None,
    columns: ArrayLike | str | Path | None,
    mask: ArrayLike | str | Path | None,
) -> ScoreMatrix:
    """Return a matrix with the given identities and mask, in the place of those of its file."""
    height, width = matrix.values.shape
    made = matrix
    if columns is not None:
        names = identities_of(columns, width, "columns", matrix.name)
        made = replace(made, columns=names)
    if rows is not None:
        made = replace(made, rows=identities_of(rows, height, "rows", matrix.name))
        if made.columns is None:
            if height != width or matrix.one_set is False:
                raise EvaluationError(
                    f"{matrix.name} has {height} rows and {width} columns of other images: give "
                    "the identities of the columns too (--columns, in Python columns=)"
                )
            made = replace(made, columns=made.rows, one_set=True)
    if made.columns is not None and made.rows is None:
        raise EvaluationError(
            f"{matrix.name}: identities of columns without those of rows: give them too (--rows, "
            "in Python rows=)"
        )
    if mask is not None:
        made = replace(made, mask=_mask_of(mask, matrix))
    return _with_sides(made)


def _with_sides(matrix: ScoreMatrix) -> ScoreMatrix:
    """Return a matrix for which it is decided whether both sides are the same images."""
    if matrix.mask is not None:
        return replace(matrix, one_set=False)  # the mask says which cells are trials
    rows, columns = matrix.rows, matrix.columns
    alike = rows is not None and columns is not None and np.array_equal(rows, columns)
    if matrix.one_set:
        if rows is not None and not alike:
            raise EvaluationError(
                f"{matrix.name}: its rows and columns are one list of images, but their "
                "identities differ"
            )
        if _symmetric(matrix.values):
            return matrix
        said = (
            f"{matrix.name} is not symmetric: of the two scores of a pair, verification uses the "
            "one above the diagonal"
        )
        return replace(matrix, warnings=[said])
    if alike and matrix.one_set is None and _symmetric(matrix.values):
        said = (
            f"{matrix.name}: rows and columns have the same identities and the matrix is "
            "symmetric: they are taken as the same images, and each pair is counted once"
        )
        return replace(matrix, one_set=True, warnings=[said])
    return replace(matrix, one_set=False) if rows is not None else matrix


def _mask_of(mask: ArrayLike | str | Path, matrix: ScoreMatrix) -> Mask:
    """Return a mask, checked against the matrix."""
    name = str(mask) if isinstance(mask, str | Path) else "the mask"
    values = _mask_file(Path(mask)) if isinstance(mask, str | Path) else np.asarray(mask)
    if values.dtype != np.uint8 or values.shape != matrix.values.shape:
        raise EvaluationError(
            f"{name} is of shape {values.shape} and type {values.dtype}; the scores of "
            f"{matrix.name} are of shape {matrix.values.shape}: give uint8 of the same shape"
        )
    counts = np.zeros(256, np.int64)
    for start in range(0, len(values), _BLOCK):
        counts += np.bincount(values[start : start + _BLOCK].ravel(), minlength=256)
    wrong = np.setdiff1d(np.flatnonzero(counts), (NOT_COMPARED, IMPOSTOR, GENUINE))
    if len(wrong):
        raise EvaluationError(
            f"{name} has the value 0x{wrong[0]:02x}: it must be 0x00 (not compared), 0x7f "
            "(impostor) or 0xff (genuine)"
        )
    return values


def _mask_file(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        raise EvaluationError(f"no mask at {path}")
    with open_regular(path) as file:
        start = file.read(8)
    if start.startswith(b"\x93NUMPY"):
        return load_npy(path, mapped=True)
    found = read_bee(path) if START.match(start) else None
    if found is None or not found.is_mask:
        raise EvaluationError(f"{path} is not a mask: give a BEE mask (MB), or uint8 in .npy")
    return found.values


def _symmetric(values: npt.NDArray[Any]) -> bool:
    """Return whether a square matrix is its own transpose, up to the rounding of float32."""
    for start in range(0, len(values), _BLOCK):
        part = slice(start, start + _BLOCK)
        one, two = (
            side.astype(np.float64) for side in (values[part, start:], values[start:, part].T)
        )
        if not np.allclose(one, two, rtol=1e-5, atol=1e-7, equal_nan=True):
            return False
    return True
