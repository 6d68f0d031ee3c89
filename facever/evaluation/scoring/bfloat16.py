"""Screening in bfloat16, where the processor multiplies it fast. Torch is imported when used."""

import sys
import time
from functools import cache

import numpy as np

from facever.evaluation.scoring.blocks import BINS, Bins, Float32Blocks
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Doubles, Scorer

_WORTH_IT = 4e11  # multiply-adds below which importing torch costs more than it saves
_WORTH_IT_LOADED = 1e10  # and where torch is there already
_FASTER = 1.3  # times as fast as float32 before it is used


class Bfloat16Blocks:
    """Blocks by the bfloat16 matrix product; each of its values is a bin of its own.

    The inputs are rounded by 2^-9 each and the score by 2^-9 of itself, so for unit vectors a
    block score lies within 2^-8 + |s| 2^-9 of the pair's, plus what float32 adds up wrongly.

    Args:
        scorer: What is multiplied.
    """

    def __init__(self, scorer: Scorer) -> None:
        import torch

        self._torch = torch
        self._left = torch.from_numpy(np.array(scorer.left)).bfloat16()
        self._right = (
            self._left
            if scorer.right is scorer.left
            else torch.from_numpy(np.array(scorer.right)).bfloat16()
        )
        largest = max(abs(scorer.low), abs(scorer.high))
        self.error = 1.02 * largest * (2.0**-8 + 2.0**-9) + scorer.error
        self.edges = _values_in_order()
        self._product = torch.empty(0, 0, dtype=torch.bfloat16)
        self._sign = np.empty((0, 0), np.int16)

    def bins(self, rows: slice, columns: slice, masked: Bools | None) -> Bins:
        """Return the bins of a block [R, C], valid until the next call."""
        torch = self._torch
        left, right = self._left[rows], self._right[columns]
        shape = len(left), len(right)
        if tuple(self._product.shape) != shape:
            self._product = torch.empty(shape, dtype=torch.bfloat16)
            self._sign = np.empty(shape, np.int16)
        torch.mm(left, right.T, out=self._product)
        bits = self._product.view(torch.int16).numpy()
        # the order of floats as integers: negative ones are turned round, then shifted up
        np.right_shift(bits, 15, out=self._sign)
        np.bitwise_and(self._sign, 0x7FFF, out=self._sign)
        np.bitwise_xor(bits, self._sign, out=bits)
        ordered = bits.view(np.uint16)
        np.bitwise_xor(ordered, 0x8000, out=ordered)
        if masked is not None:
            ordered[masked] = 0
        return ordered


def worth_it(scorer: Scorer, trials: int, wanted: int) -> bool:
    """Tell whether screening in bfloat16 saves time: many products, few scores kept, fast."""
    width = scorer.left.shape[1]
    least = _WORTH_IT_LOADED if "torch" in sys.modules else _WORTH_IT
    if trials * width < least or wanted > trials * 3e-3:
        return False
    return speed_up(width) >= _FASTER


@cache
def speed_up(width: int) -> float:
    """Return how many times as fast as float32 a bfloat16 product of this width is, measured."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((1024, width)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scorer = Scorer.between(rows, rows)
    block = slice(0, 1024)
    seconds = []
    for blocks in (Float32Blocks(scorer), Bfloat16Blocks(scorer)):
        tries = []
        for _ in range(8):
            start = time.perf_counter()
            blocks.bins(block, block, None)
            tries.append(time.perf_counter() - start)
        seconds.append(min(tries))
    return seconds[0] / seconds[1]


def _values_in_order() -> Doubles:
    """Return the value of each bin in order and an upper end, float64 [65537]."""
    ordered = np.arange(BINS, dtype=np.uint32) ^ 0x8000
    negative = ordered >= 0x8000
    bits = np.where(negative, ordered ^ 0x7FFF, ordered)
    with np.errstate(invalid="ignore"):
        values = (bits << 16).astype(np.uint32).view(np.float32).astype(np.float64)
    limit = float(np.finfo(np.float32).max)
    values[np.isnan(values) & negative] = -limit
    values = np.clip(np.nan_to_num(values, nan=limit), -limit, limit)
    return np.append(values, limit)
