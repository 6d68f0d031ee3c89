"""What a path holds, decided by its content: images, embeddings, scores or pairs to compare."""

import csv
from pathlib import Path

from facever.core.files import open_regular
from facever.data.mat_arrays import mat_arrays
from facever.data.readers import layout_of
from facever.data.suffixes import READABLE
from facever.data.tables import is_table
from facever.embedding_files.arrays import StoredArray
from facever.embedding_files.choice import IDENTITIES, VECTORS
from facever.embedding_files.formats import is_embedding_file, open_file
from facever.errors import DataError, EvaluationError
from facever.evaluation.score_files.arrays import COLUMNS, MASK, ROWS
from facever.evaluation.score_files.bee import START
from facever.evaluation.score_files.split import pair_of_folder

KINDS = ("embeddings", "scores", "pairs")
"""Kinds of files besides "images"."""

_START = 4096  # bytes that hold the first lines of a text
_LABELS = {"1", "0", "-1", "true", "false", "genuine", "impostor", "imposter"}
_SCORES = {"score", "scores", "similarity", "similarities", "distance", "distances", "distmat"}
_SQUARE = "its matrix is square"
_OBLONG = "its matrix is not square"


def kind_of(path: Path) -> tuple[str, str | None]:
    """Return what a path holds: "images" or one of `KINDS`.

    Also returns why, if the content does not prove it: a matrix of numbers can be of vectors or of
    scores.

    Raises:
        DataError: An archive of arrays is damaged.
        OSError: The file cannot be opened.
    """
    if path.is_dir():
        return _of_folder(path), None
    if not path.is_file() or not path.stat().st_size:
        return "images", None
    layout = layout_of(path)
    if layout not in (None, "table"):
        return "images", None
    if is_embedding_file(path):
        return _of_arrays(path)
    if is_table(path):
        names = _column_names(path)
        known = {"scores": {"score", "label"}, "pairs": {"a", "b", "same"}}
        return next((kind for kind, some in known.items() if some <= names), "images"), None
    return _of_text(path), None


def _of_folder(folder: Path) -> str:
    if next(folder.glob("01/same.txt"), None) is not None:
        return "pairs"
    inside = list(folder.iterdir())
    if any(one.is_dir() or one.suffix.lower() in READABLE for one in inside):
        return "images"
    try:
        pair_of_folder(folder)
    except EvaluationError:
        return "images"
    return "scores"


def _of_arrays(path: Path) -> tuple[str, str | None]:
    with open_file(path) as file:
        arrays, layout = file.arrays, file.layout
    if layout == "embeddings-matlab":
        return ("pairs" if _is_agedb(path) else "embeddings"), None
    if layout not in ("embeddings-npy", "embeddings-npz"):
        return "embeddings", None
    names = {name.lower() for name in arrays}
    matrices = {k.lower(): v for k, v in arrays.items() if len(v.shape) == 2 and k != MASK}
    if {"score", "label"} <= names or (len(matrices) == 1 and {ROWS, COLUMNS} & names):
        return "scores", None
    if _SCORES & set(matrices):
        return "scores", None
    people = {name for group in IDENTITIES for name in group.split()}
    if len(matrices) != 1 or set(VECTORS.split()) & set(matrices) or people & names:
        return "embeddings", None
    (matrix,) = matrices.values()
    return ("scores", _SQUARE) if _is_square(matrix) else ("embeddings", _OBLONG)


def _is_square(matrix: StoredArray) -> bool:
    return matrix.shape[0] == matrix.shape[1]


def _is_agedb(path: Path) -> bool:
    """Return whether a MATLAB file is a list of pairs of AgeDB, which has the variable `splits`."""
    try:
        return any(one.name == "splits" for one in mat_arrays(path, 1 << 30))
    except ValueError:
        return False


def _column_names(path: Path) -> set[str]:
    if path.suffix.lower() == ".parquet":
        from pyarrow import ArrowException, parquet

        try:
            return set(parquet.read_schema(path).names)
        except (ArrowException, OSError, ValueError):
            return set()
    with open_regular(path) as file:
        start = file.read(_START).decode("utf-8-sig", errors="replace")
    return {name.strip() for name in next(csv.reader(start.splitlines()), [])}


def _of_text(path: Path) -> str:
    with open_regular(path) as file:
        start = file.read(_START)
    if START.match(start):
        return "scores"
    words = first_line(start).lower().split()
    if len(words) == 3 or (len(words) == 1 and words[0].isdigit()):
        return "pairs"
    if len(words) == 2 and words[0] not in _LABELS and words[1].isdigit():
        return "pairs"  # LFW's "10 300", or "Ann_0001.jpg 3"
    numeric = bool(words) and _is_number(words[-1])
    return "scores" if len(words) in (2, 4, 5) and numeric else "images"


def first_line(start: bytes) -> str:
    """Return the first line of a text that is neither empty nor a comment; "" without one."""
    if b"\0" in start:
        return ""
    lines = start.decode("utf-8-sig", errors="replace").splitlines()
    return next((line for line in lines if line.strip() and line.strip()[0] != "#"), "")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def is_embeddings(path: Path) -> bool:
    """Return whether a path is a file of embeddings, not of scores."""
    try:
        return path.is_file() and kind_of(path)[0] == "embeddings"
    except (DataError, OSError):
        return False
