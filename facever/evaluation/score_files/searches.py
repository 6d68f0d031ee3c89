"""A table of trials as a matrix: each probe with each reference, for rankings and searches."""

from dataclasses import replace

import numpy as np
import pandas as pd

from facever.core.console import byte_count
from facever.data.machine import free_memory
from facever.errors import EvaluationError
from facever.evaluation.columns import Names, comparable_column, people_column
from facever.evaluation.score_files.forms import (
    GENUINE,
    IMPOSTOR,
    NOT_COMPARED,
    ScoreMatrix,
    TrialTable,
)
from facever.evaluation.scoring.similarity import Ints

_LEAST = 0.01  # share of all comparisons of probes and references that a table must have
_FEW = 1 << 20  # cells of a matrix that may be emptier
_NEEDED = ("identity_a", "identity_b", "reference", "probe")


def as_matrix(read: TrialTable | ScoreMatrix) -> ScoreMatrix:
    """Return scores as a matrix with the identities of probes (rows) and references (columns).

    Args:
        read: A matrix, or a table with `identity_a`, `identity_b`, `reference` and `probe`, such as
            Bob's 4 and 5 columns.

    Returns:
        A matrix with identities. Comparisons that a table does not have are masked.

    Raises:
        EvaluationError: There are no identities or names, a name has two identities, a comparison
            occurs twice, or most comparisons are missing.
    """
    if isinstance(read, ScoreMatrix):
        if read.rows is None:
            raise EvaluationError(
                f"{read.name} has no identities: a search needs those of its rows and columns "
                "(--rows FILE --columns FILE, in Python rows= and columns=)"
            )
        return read
    frame, name = read.frame, read.name
    missing = [column for column in _NEEDED if column not in frame]
    if missing:
        raise EvaluationError(
            f"{name} does not say who was searched for and who is enrolled (no {missing[0]}): a "
            "search needs a matrix with identities, Bob's 4 or 5 columns, or a table with "
            f"{', '.join(_NEEDED)} and score"
        )
    row, rows = _side(frame, "probe", "identity_b", name)
    column, columns = _side(frame, "reference", "identity_a", name)
    shape = len(rows), len(columns)
    cells, count = shape[0] * shape[1], len(frame)
    if count < _LEAST * cells and cells > _FEW:
        raise EvaluationError(
            f"{name} has {count:,} of the {cells:,} comparisons of {shape[0]:,} probes with "
            f"{shape[1]:,} references: a search compares each probe with the whole gallery"
        )
    if 9 * cells > (free := free_memory(shared=False)):
        raise EvaluationError(
            f"{name}: {cells:,} comparisons of probes and references need "
            f"{byte_count(9 * cells)} of memory, but {byte_count(free)} are free"
        )
    at = row * shape[1] + column
    twice = np.flatnonzero(pd.Series(at).duplicated())
    if len(twice):
        one = frame.iloc[int(twice[0])]
        raise EvaluationError(
            f"{name}: probe '{one['probe']}' is compared with reference '{one['reference']}' twice "
            f"(trial {twice[0] + 1}; {len(twice)} such trials): keep one of them"
        )
    values = np.zeros(cells)
    values[at] = frame["score"].to_numpy(np.float64)
    matrix = ScoreMatrix(values.reshape(shape), name, rows, columns, one_set=False)
    if count == cells:
        return matrix
    mask = np.full(cells, NOT_COMPARED, np.uint8)
    mask[at] = np.where(rows[row] == columns[column], GENUINE, IMPOSTOR)
    said = (
        f"{name} has {count:,} of the {cells:,} comparisons of {shape[0]:,} probes with "
        f"{shape[1]:,} references: ranks and FPIR are those of these comparisons, and lower bounds "
        "for a search of the whole gallery"
    )
    return replace(matrix, mask=mask.reshape(shape), warnings=[said])


def _side(frame: pd.DataFrame, names: str, people: str, where: str) -> tuple[Ints, Names]:
    """Return the number of each trial's probe or reference, and the identity of each of these."""
    named, identities = comparable_column(frame[names]), people_column(frame[people])
    for column, values in ((names, named), (people, identities)):
        if values.isna().any():
            row = int(values.isna().to_numpy(bool).argmax())
            raise EvaluationError(f"{where}: {column} of trial {row + 1} is missing")
    codes, who = pd.factorize(named)[0], pd.factorize(identities)[0]
    first = np.unique(codes, return_index=True)[1]
    wrong = np.flatnonzero(who != who[first][codes])
    if len(wrong):
        row = int(wrong[0])
        raise EvaluationError(
            f"{where}: {names} '{named.iloc[row]}' has the identities "
            f"'{identities.iloc[int(first[codes[row]])]}' and '{identities.iloc[row]}' (trial "
            f"{row + 1}): give each image its own name"
        )
    return codes.astype(np.int64), identities.iloc[first].to_numpy().astype(str)
