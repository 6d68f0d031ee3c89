"""Products of blocks of rows: the interface between `streaming` and a device.

An engine multiplies blocks of two matrices and counts the scores in ordered bins. `streaming` does
not depend on the device: this file uses NumPy, `torch_blocks` a processor with fast bfloat16 or a
GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints, PairScorer, Scorer

Bins = npt.NDArray[np.uint16]
BINS = 1 << 16
_CACHED = 1 << 16  # scores binned at a time


class Screen(Protocol):
    """Impostor scores of blocks, counted in bins in the order of the scores.

    Attributes:
        edges: float64 [B + 1], B at most 65,536; bin b holds block scores in
            [edges[b], edges[b + 1]). Bin 0 is reserved for pairs that are not trials.
        error: Bound on the difference between a block score and the pair's score.
        shape: Preferred rows and columns of the blocks, or None for those of `AllPairs`.
    """

    edges: Doubles
    error: float
    shape: tuple[int, int] | None

    def product(self, rows: slice, columns: slice) -> Any:
        """Return the products of all pairs of a block [R, C], valid until the next call."""
        ...

    def count(self, rows: slice, columns: slice) -> Ints:
        """Multiply a block and count its impostor scores, int64 [B]; bin 0 is empty."""
        ...

    def above(self, floor: int) -> tuple[Ints, Bins]:
        """Return the indices (row by row) and bins of the last block's scores from a bin up."""
        ...


class Exact(Screen, Protocol):
    """Blocks in float32, within the scorer's error of the pairs' scores."""

    def scores(self, rows: slice, columns: slice) -> Any:
        """Return float32 scores [R, C] (array or tensor), -inf for pairs that are not impostors.

        They are valid until the next call.
        """
        ...


@dataclass(frozen=True)
class BlockEngine:
    """The engine for block products.

    Attributes:
        screen: Makes the `Screen` of a first pass over the pairs.
        exact: Makes the `Exact` blocks in float32, optionally for a range (low, high) of scores.
    """

    screen: Callable[[AllPairs], Screen]
    exact: Callable[..., Exact]


def places(mask: Any) -> Ints:
    """Return the indices, row by row, of true values of a mask (array or tensor), int64 [K]."""
    if not isinstance(mask, np.ndarray):
        mask = mask.flatten()
        if mask.device.type != "cpu":
            return np.asarray(mask.nonzero().flatten().cpu().numpy())
        mask = mask.numpy()
    return np.flatnonzero(mask)


@dataclass(frozen=True)
class LinearBins:
    """65,536 bins of equal width: bin = floor(score · slope + start), clipped to 1 .. 65,535.

    Attributes:
        slope, start: Values in float32.
        edges: float64 [65537].
        error: Bound on the rounding error of a score in float32.
    """

    slope: float
    start: float
    edges: Doubles
    error: float

    @classmethod
    def over(cls, scorer: PairScorer, low: float | None, high: float | None) -> "LinearBins":
        """Return the bins of a range; by default of all scores."""
        low = scorer.low if low is None else low
        high = scorer.high if high is None else high
        slope = float(np.float32((BINS - 1) / (high - low)))
        start = float(np.float32(1 - low * slope))
        edges = (np.arange(BINS + 1, dtype=np.float64) - start) / slope
        largest = max(BINS, abs(low * slope), abs(high * slope))
        return cls(slope, start, edges, 4 * largest * 2.0**-24 / slope)

    def of(self, scores: Floats, out: Floats) -> Floats:
        """Write the bins of scores into `out`, as integer parts of float32, and return it."""
        np.multiply(scores, np.float32(self.slope), out=out)
        np.add(out, np.float32(self.start), out=out)
        return np.clip(out, 1, BINS - 1, out=out)


class Float32Blocks:
    """Blocks by NumPy's float32 product, in bins of equal width.

    Args:
        pairs: The pairs.
        low, high: Range of the bins; lower scores count in bin 1, higher scores in the last bin.
    """

    def __init__(
        self, pairs: AllPairs, low: float | None = None, high: float | None = None
    ) -> None:
        self._pairs, self._linear = pairs, LinearBins.over(pairs.scorer, low, high)
        self.edges = self._linear.edges
        self.shape: tuple[int, int] | None = None
        self.error = pairs.scorer.error + self._linear.error
        self._product = self._scaled = np.empty((0, 0), np.float32)
        self._bins = np.empty((0, 0), np.uint16)

    def product(self, rows: slice, columns: slice) -> Floats:
        """Return the scores of all pairs of a block [R, C], valid until the next call."""
        scorer = self._pairs.scorer
        shape = rows.stop - rows.start, columns.stop - columns.start
        if self._bins.shape != shape:
            self._bins = np.empty(shape, np.uint16)
            self._scaled = np.empty((max(1, _CACHED // shape[1]), shape[1]), np.float32)
        if not isinstance(scorer, Scorer):
            found: Floats = scorer.block(rows, columns).astype(np.float32, copy=False)
            return found
        if self._product.shape != shape:
            self._product = np.empty(shape, np.float32)
        return np.matmul(scorer.left[rows], scorer.right[columns].T, out=self._product)

    def scores(self, rows: slice, columns: slice) -> Floats:
        """Return the impostor scores of a block [R, C], -inf for other pairs."""
        product = self.product(rows, columns)
        masked = self._pairs.no_impostor(rows, columns)
        if masked is not None:
            product[masked] = -np.inf
        return product

    def count(self, rows: slice, columns: slice) -> Ints:
        """Multiply a block and count its impostor scores, int64 [B]; bin 0 is empty."""
        product, counts = self.product(rows, columns), np.zeros(BINS, np.int64)
        masked = self._pairs.no_impostor(rows, columns)
        step = max(1, _CACHED // product.shape[1])
        for top in range(0, len(product), step):
            part = slice(top, top + step)
            scaled = self._linear.of(product[part], self._scaled[: len(product[part])])
            np.copyto(self._bins[part], scaled, casting="unsafe")
            if masked is not None:
                self._bins[part][masked[part]] = 0
            counts += np.bincount(self._bins[part].ravel(), minlength=BINS)
        counts[0] = 0
        return counts

    def above(self, floor: int) -> tuple[Ints, Bins]:
        """Return the indices (row by row) and bins of the last block's scores from a bin up."""
        index = places(self._bins >= floor)
        return index, self._bins.ravel()[index]


NUMPY = BlockEngine(Float32Blocks, Float32Blocks)
