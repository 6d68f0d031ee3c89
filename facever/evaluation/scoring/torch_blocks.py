"""Block products by torch: screening in bfloat16 on a processor with fast bfloat16, or on a GPU.

The code is the same for every device. Tests run it on the processor; **it has not been run on a GPU
yet**. On a GPU it keeps the rows in bfloat16 (and in float32 for a second pass) and a few blocks of
8,192 x 8,192; only counts and scores above the floor are copied from the device. Torch is imported
when a class is instantiated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from facever.evaluation.scoring.pairwise import AllPairs, Side
from facever.evaluation.scoring.products import BINS, Bins, BlockEngine, LinearBins, places
from facever.evaluation.scoring.similarity import Floats, Ints, Scorer

_ON_CPU, _ON_DEVICE = (1024, 1024), (8192, 8192)
_REACH = 4096  # largest score in bins, and at least half of it: finer than the rounding of bfloat16


class _TorchBlocks:
    """Products of blocks in one data type on one device."""

    def __init__(self, pairs: AllPairs, device: str, scale: float, half: bool) -> None:
        import torch

        self._torch, self._pairs, self._device = torch, pairs, torch.device(device)
        self._type = torch.bfloat16 if half else torch.float32
        scorer = pairs.scorer
        assert isinstance(scorer, Scorer)
        self._left = self._moved(scorer.left) * scale
        same = scorer.right is scorer.left and scale == 1
        self._right = self._left if same else self._moved(scorer.right)
        self._sides = _sides_on(pairs, self._tensor)
        self.shape: tuple[int, int] | None = _ON_CPU if device == "cpu" else _ON_DEVICE
        self._product = self._bins = torch.empty(0, 0)

    def _tensor(self, array: Any) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _moved(self, rows: Floats) -> Any:
        """Return the rows on the device, converted in parts."""
        parts = np.array_split(rows, max(1, len(rows) >> 16))
        return self._torch.cat([self._tensor(part).to(self._type) for part in parts])

    def product(self, rows: slice, columns: slice) -> Any:
        """Return the products of all pairs of a block [R, C], valid until the next call."""
        left, right = self._left[rows], self._right[columns]
        shape = len(left), len(right)
        if tuple(self._product.shape) != shape:
            self._product = self._torch.empty(shape, dtype=self._type, device=self._device)
        with full_precision():
            return self._torch.mm(left, right.T, out=self._product)

    def _counted(self, bins: Any, rows: slice, columns: slice, size: int) -> Ints:
        masked = self._pairs.no_impostor(rows, columns, self._sides)
        if masked is not None:
            bins.masked_fill_(masked, 0)
        self._bins = bins
        counts = self._torch.bincount(bins.flatten(), minlength=size).cpu().numpy()
        counts[0] = 0
        return np.asarray(counts)

    def above(self, floor: int) -> tuple[Ints, Bins]:
        """Return the indices (row by row) and bins of the last block's scores from a bin up."""
        index = places(self._bins >= floor)
        bins = self._bins.flatten()[self._tensor(index)]
        return index, bins.cpu().numpy().astype(np.uint16)


class Bfloat16Blocks(_TorchBlocks):
    """Screening by the bfloat16 product, in about 4,000 bins of equal width.

    The relative rounding error of each input and of the score is 2^-9. So for unit vectors a block
    score is within 2^-8 + |s| 2^-9 of the pair's score, plus the summation error of float32. The
    rows of one side are scaled by a power of two, which is exact, so that the integer part of a
    score is its bin.

    Args:
        pairs: The pairs.
        device: Torch device, such as "cpu" or "cuda".
    """

    def __init__(self, pairs: AllPairs, device: str = "cpu") -> None:
        scorer = pairs.scorer
        largest = max(abs(scorer.low), abs(scorer.high))
        scale = 2.0 ** np.floor(np.log2(_REACH / largest)) if largest else 1.0
        super().__init__(pairs, device, scale, half=True)
        self.error = 1.02 * largest * (2.0**-8 + 2.0**-9) + scorer.error
        self._middle = int((largest + self.error) * scale) + 2  # the bin of 0; none reaches bin 0
        whole = np.arange(2 * self._middle + 2, dtype=np.float64) - self._middle
        # integer parts are truncated towards zero, so the bin of 0 is twice as wide
        self.edges = np.where(whole <= 0, whole - 1, whole) / scale
        self._keys = self._torch.empty(0, 0, dtype=self._torch.int16)

    def count(self, rows: slice, columns: slice) -> Ints:
        """Multiply a block and count its impostor scores, int64 [B]; bin 0 is empty."""
        product = self.product(rows, columns)
        if self._keys.shape != product.shape:
            self._keys = self._torch.empty_like(product, dtype=self._torch.int16)
        self._keys.copy_(product).add_(self._middle)
        return self._counted(self._keys, rows, columns, len(self.edges) - 1)


class TorchFloat32Blocks(_TorchBlocks):
    """`products.Float32Blocks` on a device.

    Args:
        pairs: The pairs.
        low, high: Range of the bins.
        device: Torch device, such as "cpu" or "cuda".
    """

    def __init__(
        self,
        pairs: AllPairs,
        low: float | None = None,
        high: float | None = None,
        *,
        device: str = "cpu",
    ) -> None:
        super().__init__(pairs, device, 1.0, half=False)
        self._linear = LinearBins.over(pairs.scorer, low, high)
        self.edges, self.error = self._linear.edges, pairs.scorer.error + self._linear.error

    def scores(self, rows: slice, columns: slice) -> Any:
        """Return the impostor scores of a block [R, C], -inf for other pairs."""
        product = self.product(rows, columns)
        masked = self._pairs.no_impostor(rows, columns, self._sides)
        return product if masked is None else product.masked_fill_(masked, -np.inf)

    def count(self, rows: slice, columns: slice) -> Ints:
        """Multiply a block and count its impostor scores, int64 [B]; bin 0 is empty."""
        scaled = self.product(rows, columns).mul_(self._linear.slope).add_(self._linear.start)
        bins = scaled.clamp_(1, BINS - 1).to(self._torch.int32)
        return self._counted(bins, rows, columns, BINS)


def torch_engine(device: str, *, half: bool = True) -> BlockEngine:
    """Return the engine of a device: bfloat16 (or float32) screening, float32 second passes."""
    exact = partial(TorchFloat32Blocks, device=device)
    return BlockEngine(partial(Bfloat16Blocks, device=device) if half else exact, exact)


@contextmanager
def full_precision() -> Iterator[None]:
    """Set full precision: float32 products in float32, bfloat16 products summed in float32."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision(), matmul.allow_bf16_reduced_precision_reduction
    torch.set_float32_matmul_precision("highest")
    matmul.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        matmul.allow_bf16_reduced_precision_reduction = before[1]


def _sides_on(pairs: AllPairs, move: Any) -> tuple[Side, Side]:
    first = pairs.first.moved(move)
    return first, first if pairs.one_set else pairs.second.moved(move)
