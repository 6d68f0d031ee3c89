"""The highest int8 products of probes with codes, by torch on a CPU with int8 instructions.

The sums are exact integers: they do not depend on blocks or threads.
"""

from typing import Any

import numpy as np

from facever.data.machine import multiplies_int8
from facever.gallery.index.codes import LARGEST, Doubles, Integers
from facever.gallery.index.highest import Highest, tensor_of, torch_pays, whole_groups
from facever.gallery.records import Keys

_PROBES = 128  # compared at once
_CELLS = 1 << 22  # products in memory at once, of at most so many rows:
_ROWS = 1 << 17
SECOND = 254  # the second word of a probe counts 1/254 of the first


def is_usable(multiply_adds: float) -> bool:
    """Return whether int8 products are fast here: the CPU has the instructions, and torch pays."""
    if not multiplies_int8() or not torch_pays(multiply_adds):
        return False
    import torch

    return hasattr(torch, "_int_mm") and bool(torch._C._has_mkldnn)


def whole_queries(queries: Doubles, words: int = 1) -> tuple[Integers, Doubles, Doubles]:
    """Return queries as integers, their widths, and the lengths of what is lost.

    A query is width · (first word + second word / 254) + f, where f is lost.

    Args:
        queries: float64 [Q, W].
        words: 1 or 2; with two words, little is lost.

    Returns:
        int8 [words, Q, W] from -127 to 127, float64 [Q] and float64 [Q].
    """
    widths = np.abs(queries).max(axis=1, initial=0) / LARGEST
    widths[widths == 0] = 1
    left, whole = queries, np.empty((words, *queries.shape), np.int8)
    for word, width in enumerate([widths, widths / SECOND][:words]):
        whole[word] = each = np.rint(left / width[:, None])
        left = left - width[:, None] * each
    return whole, widths, np.linalg.norm(left, axis=1) * (1 + 1e-9)


def highest_products(
    codes: Integers, probes: Integers, depth: int, rows: Keys | None = None
) -> tuple[Doubles, Keys]:
    """Return the highest products of each probe with the codes, and their rows.

    Args:
        codes: int8 [N, W].
        probes: int8 [1 or 2, Q, W], from `whole_queries`.
        depth: Number of products for each probe, at least 1.
        rows: Only these rows of the codes, int64 [M]; all by default.

    Returns:
        Products float64 [Q, depth], descending, and rows int64 [Q, depth]; -inf and -1 if there are
        fewer.
    """
    import torch

    count = len(codes) if rows is None else len(rows)
    words, size, width = probes.shape
    columns = words * min(size, _PROBES)
    step = whole_groups(min(_ROWS, _CELLS // columns, count))
    buffer = torch.empty(step * columns, dtype=torch.int32)
    lowest = torch.tensor(torch.iinfo(torch.int32).min, dtype=torch.int32)
    parts = np.split(probes, range(_PROBES, size, _PROBES), axis=1)
    lists = [Highest(part.shape[1], depth, lowest) for part in parts]
    # the codes are the left side: torch would rearrange the right one
    sides = [torch.from_numpy(np.ascontiguousarray(part).reshape(-1, width)).T for part in parts]
    for begin in range(0, count, step):
        these = slice(begin, begin + step)
        block = tensor_of(codes[these] if rows is None else codes[rows[these]])
        for side, each in zip(sides, lists, strict=True):
            each.add(_products(block, side, words, buffer), begin, len(block))
    found = [each.result() for each in lists]
    products, places = (np.concatenate(column) for column in zip(*found, strict=True))
    return products, places if rows is None else np.where(places >= 0, rows[places], -1)


def _products(codes: Any, side: Any, words: int, buffer: Any) -> Any:
    """Return the products of codes int8 [R, W] with probes int8 [W, words · P] in whole groups,
    int32 [R or more, P].
    """
    import torch

    count, columns = len(codes), side.shape[1]
    products = buffer[: whole_groups(count) * columns].view(-1, columns)
    torch._int_mm(codes, side, out=products[:count])
    if words == 1:
        return products
    first, second = products.split(columns // 2, dim=1)
    second[:count].add_(first[:count], alpha=SECOND)
    return second
