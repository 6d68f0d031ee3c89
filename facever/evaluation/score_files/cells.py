"""The cells of a matrix of scores, checked and counted; what a failed comparison counts as."""

import numpy as np
import pandas as pd

from facever.errors import EvaluationError, unknown
from facever.evaluation.failures import ComparisonFailures, FailureRate
from facever.evaluation.score_files.forms import GENUINE, ScoreMatrix
from facever.evaluation.scoring.given import CellCounts, Cells, count_cells
from facever.evaluation.scoring.similarity import Ints

FAILURES: tuple[str, ...] = ("refuse", "nan")


def check_failing(failures: str) -> None:
    """Raise for an unknown treatment of failed comparisons."""
    if failures not in FAILURES:
        raise EvaluationError(unknown("value of failures", failures, FAILURES))


def refuse_failures(failed: int, total: int, name: str, where: str = "") -> EvaluationError:
    """Return the error for failed comparisons that nobody asked to count."""
    return EvaluationError(
        f"{name}: {failed:,} of {total:,} scores are not finite (NaN){where}: count failed "
        "comparisons as rejected with --failures nan (in Python failures='nan'), or remove them"
    )


def open_cells(
    matrix: ScoreMatrix, *, distances: bool, failures: str, both: bool = False
) -> tuple[Cells, CellCounts]:
    """Return the cells of a matrix, and the counts of its trials.

    Args:
        matrix: The matrix.
        distances: Whether its scores are distances, if it does not say so itself.
        failures: "nan" to accept failed comparisons, "refuse" otherwise.
        both: See `count_cells`.

    Raises:
        EvaluationError: It has neither identities nor a mask, or there are failed comparisons and
            they are refused; also the errors of `count_cells`.
    """
    check_failing(failures)
    if matrix.rows is None and matrix.mask is None:
        raise EvaluationError(
            f"{matrix.name} is a matrix without identities: give those of its rows and columns "
            "(--rows FILE --columns FILE, in Python rows= and columns=), or a mask (--mask)"
        )
    cells = Cells(
        matrix.values,
        _codes(matrix),
        matrix.mask,
        one_set=bool(matrix.one_set),
        negate=distances or matrix.distances,
        genuine=GENUINE,
    )
    counted = count_cells(cells, matrix.name, both=both)
    if counted.failed and failures == "refuse":
        raise refuse_failures(counted.failed, counted.genuine + counted.impostor, matrix.name)
    return cells, counted


def failed_comparisons(counted: CellCounts) -> ComparisonFailures:
    """Return the failed comparisons of a matrix, of all its trials."""
    return ComparisonFailures(
        FailureRate(counted.failed_genuine, counted.genuine),
        FailureRate(counted.failed_impostor, counted.impostor),
    )


def _codes(matrix: ScoreMatrix) -> tuple[Ints, Ints] | None:
    """Return the people of rows and columns by common numbers; None if they are unknown."""
    if matrix.rows is None or matrix.columns is None:
        return None
    both = np.concatenate([matrix.rows, matrix.columns]).astype(object)
    codes = pd.factorize(both)[0].astype(np.int64)
    return codes[: len(matrix.rows)], codes[len(matrix.rows) :]
