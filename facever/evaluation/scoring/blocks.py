"""Products of blocks of rows, as scores and as ordered integer bins."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Floats, Scorer

Bins = npt.NDArray[np.uint16]
BINS = 1 << 16


class BlockScores(Protocol):
    """Scores of blocks, each as one of 65,536 bins whose order is that of the scores.

    Attributes:
        edges: float64 [65537]; bin b holds block scores in [edges[b], edges[b + 1]). Bin 0 is
            kept for pairs that are no trial.
        error: Bound on the distance between a block score and the pair's score.
    """

    edges: Doubles
    error: float

    def bins(self, rows: slice, columns: slice, masked: Bools | None) -> Bins:
        """Return the bins of a block [R, C], valid until the next call."""
        ...


class Float32Blocks:
    """Blocks by the float32 matrix product, in bins of equal width.

    Args:
        scorer: What is multiplied.
        low, high: The range that the bins divide; lower scores count in bin 1, higher ones in
            the last.
    """

    def __init__(self, scorer: Scorer, low: float | None = None, high: float | None = None) -> None:
        self._scorer = scorer
        self.error = scorer.error
        low = scorer.low if low is None else low
        high = scorer.high if high is None else high
        self._slope = np.float32((BINS - 1) / (high - low))
        self._start = np.float32(1 - low * float(self._slope))
        bins = np.arange(BINS + 1, dtype=np.float64)
        self.edges: Doubles = (bins - float(self._start)) / float(self._slope)
        # the bins are rounded in float32, at most by this share of a bin
        self.error += 4 * BINS * 2.0**-24 / float(self._slope)
        self._product = self._scaled = np.empty((0, 0), np.float32)
        self._bins = np.empty((0, 0), np.uint16)

    def product(self, rows: slice, columns: slice) -> Floats:
        """Return the scores of a block [R, C], valid until the next call."""
        left, right = self._scorer.left[rows], self._scorer.right[columns]
        shape = len(left), len(right)
        if self._product.shape != shape:
            self._product, self._scaled = np.empty(shape, np.float32), np.empty(shape, np.float32)
            self._bins = np.empty(shape, np.uint16)
        return np.matmul(left, right.T, out=self._product)

    def bins(self, rows: slice, columns: slice, masked: Bools | None) -> Bins:
        """Return the bins of a block [R, C], valid until the next call."""
        np.multiply(self.product(rows, columns), self._slope, out=self._scaled)
        np.add(self._scaled, self._start, out=self._scaled)
        np.clip(self._scaled, 1, BINS - 1, out=self._scaled)
        np.copyto(self._bins, self._scaled, casting="unsafe")
        if masked is not None:
            self._bins[masked] = 0
        return self._bins
