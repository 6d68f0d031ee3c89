"""The scores of a matrix that another system computed, as trials, in bounded memory.

The matrix stays where it is, often in a file: blocks of it are copied, never all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from facever.errors import EvaluationError
from facever.evaluation.scoring.dyads import DyadErrors, Dyads, SummedDyads, dyad_keys
from facever.evaluation.scoring.pairwise import AllPairs, Bools, PairScores
from facever.evaluation.scoring.similarity import Ints

_CELLS = 1 << 21  # cells copied at a time
LARGEST = 1e30  # magnitude of a score
_LOWER = 0.01  # of the range: how far below all others a failed comparison is drawn


@dataclass(frozen=True)
class Cells:
    """The cells of a matrix, and which of them are trials.

    Attributes:
        values: [Q, T] of any real type; NaN for a failed comparison.
        codes: int64 [Q] and [T], the people of rows and columns with common numbers; None if
            unknown.
        mask: uint8 [Q, T]: 0 for a cell that is no trial, `genuine` and any other value for the
            two classes; None if every cell is a trial, genuine where the people are equal.
        one_set: Whether rows and columns are the same images.
        negate: Whether the values are distances, whose scores are their negatives.
        genuine: The mask's value of a genuine trial.
    """

    values: npt.NDArray[Any]
    codes: tuple[Ints, Ints] | None
    mask: npt.NDArray[np.uint8] | None = None
    one_set: bool = False
    negate: bool = False
    genuine: int = 0xFF


@dataclass(frozen=True)
class CellCounts:
    """What a pass over all cells found; a search has the cells on both sides of the diagonal.

    Attributes:
        low, high: Range of the scores.
        genuine, impostor: Numbers of trials, with failed ones.
        failed_genuine, failed_impostor: Numbers of failed comparisons among them.
        searched: Bool [Q], rows with any cell that is compared, failed or not.
        mated: Bool [Q], rows with a genuine cell.
    """

    low: float
    high: float
    genuine: int
    impostor: int
    failed_genuine: int
    failed_impostor: int
    searched: Bools
    mated: Bools

    @property
    def failed(self) -> int:
        """Number of failed comparisons."""
        return self.failed_genuine + self.failed_impostor


def lower_by(low: float, high: float) -> float:
    """Return how far below the lowest score a failed comparison is drawn."""
    return _LOWER * ((high - low) or abs(high) or 1.0)


def count_cells(cells: Cells, name: str, *, both: bool = False) -> CellCounts:
    """Count the trials of a matrix and check its scores, in one pass.

    Args:
        cells: The cells.
        name: Name of the matrix, for messages.
        both: Whether the cells on both sides of the diagonal count, for one set.

    Raises:
        EvaluationError: A score is infinite, the mask contradicts the people, or no comparison has
            a score.
    """
    height, width = cells.values.shape
    searched, mated = np.zeros(height, bool), np.zeros(height, bool)
    low, high = np.inf, -np.inf
    counts = np.zeros((2, 2), np.int64)  # class, failed
    step = max(1, _CELLS // width)
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        trials, genuine = _classes(cells, rows, name, both)
        values = np.asarray(cells.values[rows])
        failed = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        known = values[trials & ~failed]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
        if known.size and max(-low, high) > LARGEST:
            at = np.argwhere(trials & (np.abs(values.astype(np.float64)) > LARGEST))[0]
            raise EvaluationError(
                f"{name}: the score of row {start + at[0]}, column {at[1]} (from 0) is "
                f"{values[tuple(at)]}: scores must be finite, at most {LARGEST:g}; use NaN for a "
                "failed comparison"
            )
        searched[rows], mated[rows] = trials.any(axis=1), genuine.any(axis=1)
        for k, of_class in enumerate((genuine, trials & ~genuine)):
            counts[k] += int(of_class.sum()), int((of_class & failed).sum())
    if low > high:
        raise EvaluationError(f"{name}: no comparison has a score")
    ends = (-high, -low) if cells.negate else (low, high)
    (many, lost), (others, missing) = counts.tolist()
    return CellCounts(float(ends[0]), float(ends[1]), many, others, lost, missing, searched, mated)


def _classes(cells: Cells, rows: slice, name: str, both: bool) -> tuple[Bools, Bools]:
    """Return which cells of some rows are trials, and which are genuine, bool [R, T] each."""
    width = cells.values.shape[1]
    same = None
    if cells.codes is not None:
        same = cells.codes[0][rows, None] == cells.codes[1][None, :]
    if cells.mask is not None:
        mask = np.asarray(cells.mask[rows])
        trials, genuine = mask != 0, mask == cells.genuine
        wrong = (
            np.empty((0, 2), np.int64) if same is None else np.argwhere(trials & (genuine != same))
        )
        if len(wrong):
            row, column = wrong[0]
            raise EvaluationError(
                f"{name}: the mask contradicts the identities in row {rows.start + row}, column "
                f"{column} (from 0): correct the mask, or give the identities of its images"
            )
        return trials, genuine
    assert same is not None
    if not cells.one_set:
        return np.ones(same.shape, bool), same
    number, places = np.arange(rows.start, rows.stop)[:, None], np.arange(width)[None, :]
    trials = number != places if both else number < places
    return trials, same & trials


@dataclass(frozen=True)
class GivenScores:
    """The scores of a matrix as a `PairScorer`, in any order of rows and columns.

    Attributes:
        cells: The cells.
        rows, columns: int64 [Q] and [T], the row and column of the matrix at each place.
        low, high: Range of the scores.
        failed: The score in the place of a failed comparison.
        absent: The score of a cell that is not compared; None to leave it as it is.
    """

    cells: Cells
    rows: Ints
    columns: Ints
    low: float
    high: float
    failed: float
    absent: float | None = None

    @classmethod
    def of(cls, cells: Cells, counted: CellCounts, **options: Any) -> Self:
        """Return the scores in the order of the matrix; failed ones are below all others."""
        height, width = cells.values.shape
        lower = lower_by(counted.low, counted.high)
        options.setdefault("failed", counted.low - lower)
        low, high = counted.low - 2 * lower, counted.high + lower
        return cls(cells, np.arange(height), np.arange(width), low, high, **options)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 for scores that it holds exactly, else float64."""
        kind = self.cells.values.dtype
        small = kind.itemsize <= 4 if kind.kind == "f" else kind.itemsize <= 2
        return np.dtype(np.float32 if small else np.float64)

    @property
    def error(self) -> float:
        """Bound on the rounding of the scores to float32; 0 if they are float32."""
        if self.dtype == np.float32:
            return 0.0
        return 2.0**-24 * max(abs(self.low), abs(self.high))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows on the left and on the right."""
        return len(self.rows), len(self.columns)

    @property
    def width(self) -> int:
        """Numbers read for one row of one side."""
        return 1

    def block(self, rows: Ints | slice, columns: Ints | slice) -> Any:
        """Return the exact scores of rows with columns, [R, C], in a new array."""
        at = np.ix_(self.rows[rows], self.columns[columns])
        return self._scores(self._cells(self.cells.values, *at), *at)

    def compared(self, rows: Ints | slice, columns: Ints | slice) -> Any:
        """Return a mask [R, C] of the pairs that are trials; None if all are."""
        if self.cells.mask is None:
            return None
        at = np.ix_(self.rows[rows], self.columns[columns])
        return self._cells(self.cells.mask, *at) != 0

    def pairs(self, i: npt.NDArray[np.integer], j: npt.NDArray[np.integer]) -> Any:
        """Return the exact scores of single pairs, [K]."""
        at = self.rows[i], self.columns[j]
        return self._scores(self.cells.values[at], *at)

    def tiles(self, rows: Ints, columns: Ints) -> Any:
        """Return the exact scores of all pairs of rows [K, n] with columns [K, m], [K, n, m]."""
        at = self.rows[rows][:, :, None], self.columns[columns][:, None, :]
        return self._scores(self.cells.values[at], *at)

    def kinds(self, rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        """Return the cells of the mask, [R, C]."""
        assert self.cells.mask is not None
        at = np.ix_(self.rows[rows], self.columns[columns])
        return np.asarray(self._cells(self.cells.mask, *at))

    def take(self, rows: Ints, columns: Ints) -> Self:
        """Return the same scores with the rows of both sides in another order."""
        return replace(self, rows=self.rows[rows], columns=self.columns[columns])

    def turned(self) -> Self:
        """Return the same scores with the sides exchanged."""
        cells, mask = self.cells, self.cells.mask
        codes = None if cells.codes is None else (cells.codes[1], cells.codes[0])
        turned = replace(
            cells, values=cells.values.T, codes=codes, mask=None if mask is None else mask.T
        )
        return replace(self, cells=turned, rows=self.columns, columns=self.rows)

    def _cells(self, values: npt.NDArray[Any], rows: Ints, columns: Ints) -> npt.NDArray[Any]:
        """Return the cells of rows [R, 1] and columns [1, C]."""
        if 4 * columns.size > values.shape[1]:  # whole rows first: twice as fast
            found: npt.NDArray[Any] = values[rows[:, 0]][:, columns[0]]
            return found
        return np.asarray(values[rows, columns])

    def _scores(self, values: npt.NDArray[Any], rows: Ints, columns: Ints) -> npt.NDArray[Any]:
        scores = np.array(values, self.dtype)
        if self.cells.negate:
            np.negative(scores, out=scores)
        np.copyto(scores, self.failed, where=np.isnan(scores))
        if self.absent is not None:
            if self.cells.mask is not None:
                scores[self.cells.mask[rows, columns] == 0] = self.absent
            elif self.cells.one_set:
                scores[np.broadcast_to(rows == columns, scores.shape)] = self.absent
        return scores


class MatrixPairs(AllPairs):
    """The trials of a matrix.

    Args:
        scores: Its scores.
        counted: Its numbers of trials.
    """

    scorer: GivenScores

    def __init__(self, scores: GivenScores, counted: CellCounts) -> None:
        cells = scores.cells
        height, width = scores.shape
        self._named = cells.codes is not None
        codes = cells.codes or (np.arange(height), height + np.arange(width))
        super().__init__(scores, codes[0], None if cells.one_set else codes[1])
        self.genuine, self.impostor = counted.genuine, counted.impostor

    def no_impostor(self, rows: slice, columns: slice, sides: Any = None) -> Any:
        """Return a mask of the cells of a block that are not impostor trials; None if all are."""
        if self.scorer.cells.mask is None:
            return super().no_impostor(rows, columns, sides)
        kinds = self.scorer.kinds(rows, columns)
        return (kinds == 0) | (kinds == self.scorer.cells.genuine)

    def genuine_scores(self) -> Iterator[PairScores]:
        """Yield the genuine trials, in parts."""
        if self.scorer.cells.mask is None:
            yield from super().genuine_scores()
            return
        for rows, columns in self.blocks():
            kinds = self.scorer.kinds(rows, columns)
            i, j = np.nonzero(kinds == self.scorer.cells.genuine)
            if len(i):
                i, j = i + rows.start, j + columns.start
                yield PairScores(self.scorer.pairs(i, j), i, j)

    def dyads(self) -> Dyads | None:
        """Return the impostor trials by pairs of people; None if the people are unknown."""
        if not self._named:
            return None
        if self.scorer.cells.mask is None:
            return super().dyads()
        people = int(max(self.first.codes.max(), self.second.codes.max())) + 1
        parts: list[DyadErrors] = []
        for rows, columns in self.blocks((1 << 9, len(self.second.codes))):
            i, j = np.nonzero(~self.no_impostor(rows, columns))
            keys = dyad_keys(self.first.codes[rows][i], self.second.codes[columns][j], people)
            parts = [DyadErrors.join([*parts, DyadErrors.of_keys(keys, people)], people)]
        return SummedDyads(parts[0], people)
