"""The highest int8 products of probes with codes, by torch on a CPU with int8 instructions.

The sums are exact integers: they do not depend on blocks or threads.
"""

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import multiplies_int8
from facever.gallery.index.codes import LARGEST, ZERO, Bytes, Doubles
from facever.gallery.records import Keys

_PROBES = 128  # compared at once
_ROWS = 8192  # compared at once: they fit into the cache
_GROUP = 16  # rows; the highest product of a group is compared first
_CROWDED = 8  # times the depth: more groups than this are sorted instead
SECOND = 254  # the second word of a probe counts 1/254 of the first
_WORTH_IT = 4e11  # multiply-adds: below, the import of torch takes longer than it saves

_NONE = -(2**31)  # in place of a product
Integers = NDArray[np.int8]


def is_usable(multiply_adds: float) -> bool:
    """Return whether int8 products are fast here: the CPU has the instructions, and torch is
    loaded, or so much is computed that its import pays.
    """
    if not multiplies_int8() or ("torch" not in sys.modules and multiply_adds < _WORTH_IT):
        return False
    if find_spec("torch") is None:
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
    codes: Bytes, probes: Integers, depth: int, rows: Keys | None = None
) -> tuple[Doubles, Keys]:
    """Return the highest products of each probe with the codes less 128, and their rows.

    Args:
        codes: uint8 [N, W].
        probes: int8 [1 or 2, Q, W], from `whole_queries`.
        depth: Number of products for each probe, at least 1.
        rows: Only these rows of the codes, int64 [M]; all by default.

    Returns:
        Products float64 [Q, depth], descending, and rows int64 [Q, depth]; -inf and -1 if there are
        fewer.
    """
    import torch

    count = len(codes) if rows is None else len(rows)
    (words, size, width), step = probes.shape, min(_ROWS, -(-count // _GROUP) * _GROUP)
    block = np.zeros((step, width), np.uint8)
    signed = torch.from_numpy(block.view(np.int8))
    buffer = torch.empty(step * words * min(size, _PROBES), dtype=torch.int32)
    starts = range(0, size, _PROBES)
    lists = [_Lists(probes[:, start : start + _PROBES], depth) for start in starts]
    for begin in range(0, count, step):
        part = slice(begin, min(begin + step, count))
        source = codes[part] if rows is None else codes[rows[part]]
        np.bitwise_xor(source, ZERO, out=block[: len(source)])  # from code + 128 to int8
        for each in lists:
            each.add(signed, begin, len(source), buffer)
    found = np.full((size, depth), -np.inf), np.full((size, depth), -1, np.int64)
    for start, each in zip(starts, lists, strict=True):
        products, places, owner, rank = each.highest()
        found[0][start + owner, rank] = products
        found[1][start + owner, rank] = places if rows is None else rows[places]
    return found


class _Lists:
    """The highest products of some probes, from blocks of codes.

    Args:
        probes: int8 [1 or 2, Q, W].
        depth: Number of products for each probe.
    """

    def __init__(self, probes: Integers, depth: int) -> None:
        import torch

        self._words, self._size, width = probes.shape
        self._depth, self._parts = depth, list[tuple[Any, Any, Any]]()
        self._sides = torch.from_numpy(np.ascontiguousarray(probes.reshape(-1, width))).T
        self._best = torch.full((self._size, depth), _NONE, dtype=torch.int32)

    def add(self, signed: Any, begin: int, count: int, buffer: Any) -> None:
        """Add the products with codes int8 [R, W], of which the first `count` are rows from
        `begin`. The codes are the left side: torch would rearrange the right one.
        """
        import torch

        columns = self._words * self._size
        products = buffer[: len(signed) * columns].view(-1, columns)
        torch._int_mm(signed, self._sides, out=products)
        if self._words == 2:
            first = products[:, : self._size]
            products = products[:, self._size :].add_(first, alpha=SECOND)
        products[count:] = _NONE
        highest = products.unflatten(0, (-1, _GROUP)).amax(1).T
        self._best = torch.cat([self._best, highest], 1).topk(self._depth, dim=1).values
        floor = self._best[:, -1]  # at most the product of rank `depth`
        found, places, owners = _from(products, highest, floor, min(self._depth, count))
        self._parts.append((found, places + begin, owners))

    def highest(self) -> tuple[NDArray[np.int32], Keys, Keys, Keys]:
        """Return products, rows, probes and ranks, [M] each."""
        import torch

        found, rows, probes = (torch.cat(column) for column in zip(*self._parts, strict=True))
        high = (found >= self._best[probes, -1]) & (found > _NONE)
        products, places, owners = (column[high].numpy() for column in (found, rows, probes))
        order = np.argsort(owners * 2**33 - products)
        products, places, owners = products[order], places[order], owners[order]
        rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
        kept = rank < self._depth
        return products[kept], places[kept], owners[kept], rank[kept]


def _from(products: Any, highest: Any, floor: Any, depth: int) -> tuple[Any, Any, Any]:
    """Return the products [R, P] that are at least the floor of their probe, [P], or, if they are
    many, the `depth` highest of each probe; with row and probe.

    Args:
        products: int32 [R, P].
        highest: The highest product of each group of rows, [P, G].
        floor: int32 [P].
        depth: At most the number of rows.
    """
    import torch

    probe, group = (highest >= floor[:, None]).nonzero(as_tuple=True)
    if len(group) > _CROWDED * depth * len(floor):
        products, row = products.T.topk(depth, dim=1)
        return products.flatten(), row.flatten(), torch.arange(len(floor)).repeat_interleave(depth)
    near = products.unflatten(0, (-1, _GROUP))[group, :, probe]
    which, place = (near >= floor[probe][:, None]).nonzero(as_tuple=True)
    return near[which, place], group[which] * _GROUP + place, probe[which]
