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
_GROUP = 32  # rows; the highest product of a group is compared first
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
    shape = probes.shape[1], depth
    found = np.full(shape, -np.inf), np.full(shape, -1, np.int64)
    for start in range(0, len(found[0]), _PROBES):
        products, places, owner = _scanned(codes, probes[:, start : start + _PROBES], depth, rows)
        order = np.lexsort((places, -products, owner))
        products, places, owner = products[order], places[order], owner[order]
        rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
        kept = rank < depth
        at = owner[kept] + start, rank[kept]
        found[0][at] = products[kept]
        found[1][at] = places[kept] if rows is None else rows[places[kept]]
    return found


def _scanned(
    codes: Bytes, probes: Integers, depth: int, rows: Keys | None
) -> tuple[Doubles, Keys, Keys]:
    """Return products that contain the `depth` highest of each probe, with place and probe."""
    import torch

    count = len(codes) if rows is None else len(rows)
    words, size, width = probes.shape
    step = min(_ROWS, -(-count // _GROUP) * _GROUP)
    block = np.zeros((step, width), np.uint8)
    signed = torch.from_numpy(block.view(np.int8))
    sides = torch.from_numpy(np.ascontiguousarray(probes.reshape(-1, width)))
    buffer = torch.empty(words * size, step, dtype=torch.int32)
    best = torch.full((size, depth), _NONE, dtype=torch.int32)
    parts: list[tuple[Any, Any, Any]] = []
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        source = codes[part] if rows is None else codes[rows[part]]
        np.bitwise_xor(source, ZERO, out=block[: len(source)])  # from code + 128 to int8
        products = torch._int_mm(sides, signed.T, out=buffer)
        if words == 2:
            products = products[size:].add_(products[:size], alpha=SECOND)
        products[:, len(source) :] = _NONE
        groups = products.view(size, -1, _GROUP)
        highest = groups.amax(2)
        best = torch.cat([best, highest], 1).topk(depth, dim=1).values
        floor = best[:, -1]  # at most the product of rank `depth`
        found, places, owners = _from(groups, highest, floor, min(depth, len(source)))
        parts.append((found, places + start, owners))
    return _above(parts, floor)


def _from(groups: Any, highest: Any, floor: Any, depth: int) -> tuple[Any, Any, Any]:
    """Return the products [P, G, R] that are at least the floor of their probe, [P], or, if they
    are many, the `depth` highest of each probe; with row and probe.
    """
    import torch

    probe, group = (highest >= floor[:, None]).nonzero(as_tuple=True)
    if len(group) > _CROWDED * depth * len(floor):
        products, row = groups.flatten(1).topk(depth, dim=1)
        return products.flatten(), row.flatten(), torch.arange(len(floor)).repeat_interleave(depth)
    near = groups[probe, group]
    which, place = (near >= floor[probe][:, None]).nonzero(as_tuple=True)
    return near[which, place], group[which] * _GROUP + place, probe[which]


def _above(parts: list[tuple[Any, Any, Any]], floor: Any) -> tuple[Doubles, Keys, Keys]:
    import torch

    products, places, owners = (torch.cat(column) for column in zip(*parts, strict=True))
    kept = (products >= floor[owners]) & (products > _NONE)
    return (
        products[kept].double().numpy(),
        places[kept].numpy(),
        owners[kept].numpy(),
    )
