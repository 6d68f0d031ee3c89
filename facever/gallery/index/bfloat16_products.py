"""The highest bfloat16 products of probes with vectors, by torch on a CPU with instructions for it.

Vectors and probes are rounded to bfloat16, their products are summed in float32, and the sums are
rounded to bfloat16.
"""

from functools import cache

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


def highest_products(vectors: Vectors, probes: Vectors, depth: int) -> tuple[Scores, Keys]:
    """Return the highest products of each probe with the vectors, and their rows.

    Args:
        vectors: float32 [N, D], at least one. NaN products count as infinity.
        probes: float32 [Q, D].
        depth: Number of products for each probe, at least 1.

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
            each.add(products, begin, there)
    found = [each.result() for each in lists]
    highest, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return highest.astype(np.float32), places


def lost_by_rounding(vectors: Vectors) -> float:
    """Return the largest length of v - v', of unit vectors v [N, D] rounded to v'.

    Damaged vectors, which lose more than is possible, do not count.
    """
    import torch

    largest = 0.0
    for begin in range(0, len(vectors), _ROWS):
        some = tensor_of(vectors[begin : begin + _ROWS])
        lost = torch.linalg.vector_norm(some - some.to(torch.bfloat16), dim=1)
        largest = max(largest, float(torch.where(lost <= 1.01 * _UNIT, lost, 0).max()))
    return largest


def bound(probes: Vectors, lost: float) -> NDArray[np.float64]:
    """Return the largest error of bfloat16 products with unit vectors, [Q].

    Args:
        probes: float32 [Q, D].
        lost: From `lost_by_rounding`.
    """
    import torch

    rounded = torch.tensor(probes, dtype=torch.bfloat16).double().numpy()
    of_probe = np.linalg.norm(probes - rounded, axis=1)
    of_sums = _UNIT + (probes.shape[1] + 64) * 2.0**-23
    error: NDArray[np.float64] = of_probe + np.linalg.norm(rounded, axis=1) * (lost + of_sums)
    return 1.01 * error  # vectors have length 1 up to rounding
