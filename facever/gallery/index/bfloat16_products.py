"""The highest bfloat16 products of probes with vectors, by torch on a CPU with instructions for it.

Vectors and probes are rounded to bfloat16, their products are summed in float32, and the sums are
rounded to bfloat16.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import multiplies_bfloat16
from facever.gallery.index.highest import Highest, tensor_of, torch_pays, whole_groups
from facever.gallery.records import Keys, Scores, Vectors

_PROBES = 256  # compared at once
_CELLS = 1 << 21  # products in memory at once, of at most so many rows:
_ROWS = 1 << 14
_UNIT = 2.0**-8  # largest relative error of a number rounded to bfloat16


def is_usable(multiply_adds: float) -> bool:
    """Return whether bfloat16 products are fast here: the CPU has the instructions, and torch
    pays.
    """
    return torch_pays(multiply_adds) and multiplies_bfloat16() and _sums_in_float32()


@cache
def _sums_in_float32() -> bool:
    """Return whether torch's library sums bfloat16 products in float32, by a sum that shows it."""
    import torch

    if not torch._C._has_mkldnn:
        return False
    ones = torch.ones(64, 1024, dtype=torch.bfloat16)
    parts = ones * 2.0**-10
    parts[:, 0] = 1.0  # in bfloat16, 1 + 2**-10 is 1
    return bool((ones @ parts.T == 2.0).all())


class Rounding(NamedTuple):
    """What rounding to bfloat16 does to vectors.

    Args:
        lost: The largest length of v - v', of unit vectors v rounded to v'. Damaged vectors, which
            lose more than is possible, do not count.
        damaged: Whether there are some.
    """

    lost: float
    damaged: bool

    @classmethod
    def of(cls, vectors: Vectors) -> "Rounding":
        """Return what rounding does to vectors, float32 [N, D], at least one."""
        import torch

        lost, damaged = 0.0, False
        for begin in range(0, len(vectors), _ROWS):
            some = tensor_of(vectors[begin : begin + _ROWS])
            lengths = torch.linalg.vector_norm(some - some.to(torch.bfloat16), dim=1)
            whole = lengths <= 1.01 * _UNIT
            lost = max(lost, float(torch.where(whole, lengths, 0).max()))
            damaged |= not bool(whole.all())
        return cls(lost, damaged)


def highest_products(
    vectors: Vectors, probes: Vectors, depth: int, damaged: bool
) -> tuple[Scores, Keys]:
    """Return the highest products of each probe with the vectors, and their rows.

    Args:
        vectors: float32 [N, D], at least one.
        probes: float32 [Q, D].
        depth: Number of products for each probe, at least 1.
        damaged: Whether some vectors are (`Rounding`). Then, NaN products count as infinity.

    Returns:
        Products float32 [Q, depth], descending, and rows int64 [Q, depth]; -inf and -1 if there are
        fewer.
    """
    import torch

    (count, width), size = vectors.shape, min(len(probes), _PROBES)
    step = min(whole_groups(count), whole_groups(min(_ROWS, _CELLS // size)))
    buffer = torch.empty(step * size, dtype=torch.bfloat16)
    block = torch.empty(step, width, dtype=torch.bfloat16)
    lowest = torch.tensor(-np.inf, dtype=torch.bfloat16)
    rounded = torch.tensor(probes, dtype=torch.bfloat16)
    sides = [rounded[start : start + _PROBES] for start in range(0, len(probes), _PROBES)]
    lists = [Highest(len(side), depth, lowest) for side in sides]
    for begin in range(0, count, step):
        there = min(step, count - begin)
        block[:there] = tensor_of(vectors[begin : begin + there])
        for side, each in zip(sides, lists, strict=True):
            products = buffer[: whole_groups(there) * len(side)].view(-1, len(side))
            torch.mm(block[:there], side.T, out=products[:there])
            if damaged:
                products[:there].nan_to_num_(nan=np.inf)
            each.add(products, begin, there)
    found = [each.result() for each in lists]
    highest, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return highest.astype(np.float32), places


def bound(probes: Vectors, lost: float, scores: Scores) -> NDArray[np.float64]:
    """Return the largest error of bfloat16 products with unit vectors, [Q].

    It holds for the products of a list and for all lower ones, as far as they can be above the
    list's last one: the higher a product, the more is lost when the sum is rounded.

    Args:
        probes: float32 [Q, D].
        lost: Of the vectors (`Rounding`).
        scores: The products of a list, float32 [Q, n].
    """
    import torch

    rounded = torch.tensor(probes, dtype=torch.bfloat16).double().numpy()
    of_probe = np.linalg.norm(probes - rounded, axis=1)
    of_sums = (probes.shape[1] + 64) * 2.0**-23
    error: NDArray[np.float64] = of_probe + np.linalg.norm(rounded, axis=1) * (lost + of_sums)
    highest = np.abs(scores).max(axis=1, initial=0, where=np.abs(scores) <= 1.5)
    error += _UNIT * highest
    return 1.01 * error  # vectors have length 1 up to rounding
