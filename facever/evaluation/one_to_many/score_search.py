"""Identification and retrieval from the scores of any system: a matrix, or Bob's columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError, unknown
from facever.evaluation.one_to_many.identification import (
    DEFAULT_FPIRS,
    DEFAULT_RANKS,
    RULES,
    measured,
)
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.evaluation.one_to_many.ranking import ByScore, Sides
from facever.evaluation.one_to_many.retrieval import ranked
from facever.evaluation.one_to_many.retrieved import RetrievalResult
from facever.evaluation.one_to_many.search import search_with
from facever.evaluation.score_files.cells import failed_comparisons, open_cells
from facever.evaluation.score_files.forms import ScoreMatrix
from facever.evaluation.score_files.reading import Source, read_scores
from facever.evaluation.score_files.searches import as_matrix
from facever.evaluation.scoring.given import CellCounts, Cells, GivenScores
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Ints

_LAST = -1e32  # of a failed comparison in a ranking: below all scores


def identification_scores(
    scores: Source,
    *,
    rows: ArrayLike | str | Path | None = None,
    columns: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    rule: str = "max",
    level: float = 0.95,
    distances: bool = False,
    failures: str = "refuse",
) -> IdentificationResult:
    """Measure open-set identification (1:N) from the scores of probes with a gallery.

    Args:
        scores: A matrix [P, G] of probes and gallery, a file with it, or a file that names probes
            and references, such as Bob's 4 or 5 columns; as for `scores`.
        rows, columns: The identities of probes and gallery, for a matrix; as for `scores`. Without
            `columns`, each row of a square matrix is searched for in all others.
        mask: Cells of 0x00 are not compared. A probe is mated if it is compared with its person.
        fpir, ranks, level: As for `identification`.
        rule: A person's score is the "max" or the "mean" over their columns.
        distances: As for `scores`.
        failures: "nan" to count NaN as failed comparisons: they are no candidates at any threshold
            and rank. By default NaN is refused.

    Raises:
        EvaluationError: The people are unknown, all probes are mated or all are non-mated, or the
            mean is asked of cells without a score; also the errors of `scores`.
    """
    chosen = next((name for name in RULES if name == rule), None)
    if chosen is None:
        raise EvaluationError(unknown("score rule", rule, RULES))
    opened = _open(scores, rows, columns, mask, distances, failures)
    matrix, cells, counted = opened.matrix, opened.cells, opened.counted
    if chosen == "mean" and (counted.failed or cells.one_set or cells.mask is not None):
        raise EvaluationError(
            f"{matrix.name}: the rule mean needs a score of each probe with each column: use max"
        )
    given = GivenScores.of(cells, counted, failed=-np.inf, absent=-np.inf)
    probes, order = np.flatnonzero(counted.searched), np.argsort(opened.gallery, kind="stable")
    searched = search_with(
        given.take(probes, order),
        [opened.queries[probes], opened.gallery[order]],
        chosen,
        counted.mated[probes],
    )
    result = measured(searched, chosen, None, fpir, ranks, level)
    return replace(
        result,
        comparisons=failed_comparisons(counted) if failures != "refuse" else None,
        distances=cells.negate,
        warnings=[*result.warnings, *opened.warnings],
    )


def retrieval_scores(
    scores: Source,
    *,
    rows: ArrayLike | str | Path | None = None,
    columns: ArrayLike | str | Path | None = None,
    mask: ArrayLike | str | Path | None = None,
    level: float = 0.95,
    distances: bool = False,
    failures: str = "refuse",
) -> RetrievalResult:
    """Measure rankings (CMC, closed set; mAP, mINP) from the scores of queries with a gallery.

    Args:
        scores, rows, columns, mask, distances: As for `identification_scores`. A column with the
            identity "-1" is junk for every query.
        level: As for `retrieval`.
        failures: "nan" to count NaN as failed comparisons: they are ranked last. By default NaN is
            refused.

    Raises:
        EvaluationError: The people are unknown, or no query is compared with its person; also the
            errors of `scores`.
    """
    opened = _open(scores, rows, columns, mask, distances, failures)
    given = GivenScores.of(opened.cells, opened.counted, failed=_LAST)
    junk = np.asarray(opened.matrix.columns) == "-1"
    sides = Sides(opened.queries, opened.gallery, None, junk, opened.left_out)
    result = ranked(ByScore(given), sides, None, level)
    return replace(
        result,
        comparisons=failed_comparisons(opened.counted) if failures != "refuse" else None,
        distances=opened.cells.negate,
        warnings=[*result.warnings, *opened.warnings],
    )


@dataclass(frozen=True)
class _Opened:
    """A matrix with the people of both sides, checked and counted."""

    matrix: ScoreMatrix
    cells: Cells
    counted: CellCounts
    queries: Ints
    gallery: Ints

    @property
    def warnings(self) -> list[str]:
        """Warnings of the matrix, and the probes that are not searched for."""
        lost = int((~self.counted.searched).sum())
        said = f"{self.matrix.name}: {lost:,} rows are compared with nothing and left out"
        return [*self.matrix.warnings, *([said] if lost else [])]

    def left_out(self, row: int) -> Bools:
        """Return the columns that a row is not compared with, bool [G]."""
        if self.cells.mask is not None:
            absent: Bools = np.asarray(self.cells.mask[row]) == 0
        else:
            absent = (np.arange(len(self.gallery)) == row) & self.cells.one_set
        return absent


def _open(
    scores: Source,
    rows: ArrayLike | str | Path | None,
    columns: ArrayLike | str | Path | None,
    mask: ArrayLike | str | Path | None,
    distances: bool,
    failures: str,
) -> _Opened:
    matrix = as_matrix(read_scores(scores, rows=rows, columns=columns, mask=mask))
    cells, counted = open_cells(matrix, distances=distances, failures=failures, both=True)
    assert cells.codes is not None
    return _Opened(matrix, cells, counted, *cells.codes)
