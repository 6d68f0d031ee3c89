"""The cells of a matrix of scores as trials."""

from collections.abc import Iterable, Sequence

import numpy as np

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.calibration import JudgedTrials
from facever.evaluation.score_files.cells import open_cells
from facever.evaluation.score_files.forms import ScoreMatrix
from facever.evaluation.scoring.given import CellCounts, GivenScores, MatrixPairs
from facever.evaluation.scoring.pairwise import PairScores
from facever.evaluation.scoring.streaming import MOST_KEPT, StreamedTrials
from facever.evaluation.scoring.trials import check_both_classes, most_wanted


def matrix_trials(
    matrix: ScoreMatrix, fars: Sequence[float], *, distances: bool, failures: str
) -> tuple[StreamedTrials, CellCounts]:
    """Return the trials of a matrix, and their counts.

    Raises:
        EvaluationError: The errors of `open_cells`, or there is one class of trials only.
    """
    cells, counted = open_cells(matrix, distances=distances, failures=failures)
    check_both_classes(counted.genuine, counted.impostor)
    pairs = MatrixPairs(GivenScores.of(cells, counted), counted)
    return StreamedTrials(pairs, most_wanted(fars, counted.impostor)), counted


def listed_trials(matrix: ScoreMatrix, *, distances: bool) -> JudgedTrials:
    """Return the trials of a matrix in a list, for a calibration.

    Raises:
        EvaluationError: The people are unknown, there are too many trials, or a comparison failed;
            also the errors of `open_cells`.
    """
    cells, counted = open_cells(matrix, distances=distances, failures="refuse")
    if cells.codes is None:
        raise EvaluationError(
            f"{matrix.name} has no identities (--rows, --columns): a calibration is tested on "
            "other people than it is fitted on"
        )
    total = counted.genuine + counted.impostor
    if total > MOST_KEPT:
        raise EvaluationError(
            f"{matrix.name} has {total:,} trials; a calibration takes at most {MOST_KEPT:,}: give "
            "fewer rows or columns"
        )
    check_both_classes(counted.genuine, counted.impostor)
    pairs = MatrixPairs(GivenScores.of(cells, counted), counted)
    sides: list[Iterable[PairScores]] = [pairs.genuine_scores(), pairs.impostor_scores()]
    genuine, impostor = (PairScores.join(list(parts)) for parts in sides)
    both = PairScores.join([genuine, impostor])
    same = np.arange(len(both)) < len(genuine)
    people = pairs.first.codes[both.a], pairs.second.codes[both.b]
    return JudgedTrials(both.scores.astype(np.float64), same, people)
