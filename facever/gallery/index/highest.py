"""The highest products of probes with many rows, block by block, by torch.

Sums of int8 products and bfloat16 products are fast by torch on CPUs with instructions for them,
where torch is loaded, or so much is computed that its import pays.
"""

import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.gallery.records import Keys

_GROUP = 32  # rows; the highest product of a group is compared first
_CROWDED = 8  # times the depth: more groups than this are sorted instead
_WORTH_IT = 4e11  # multiply-adds: below, the import of torch takes longer than it saves


def torch_pays(multiply_adds: float) -> bool:
    """Return whether products by torch pay: it is installed and loaded, or they are many."""
    if "torch" not in sys.modules and multiply_adds < _WORTH_IT:
        return False
    return find_spec("torch") is not None


def whole_groups(rows: int) -> int:
    """Return the number of rows that `Highest.add` takes for some rows: whole groups of them."""
    return -(-rows // _GROUP) * _GROUP


def tensor_of(array: NDArray[Any]) -> Any:
    """Return a tensor that shares the memory of an array. Torch warns of memory that
    is mapped for reading only, so its source says that it may be written; nothing writes it.
    """
    import torch

    said = dict(array.__array_interface__)
    said["data"] = (said["data"][0], False)
    return torch.from_numpy(np.asarray(SimpleNamespace(__array_interface__=said, array=array)))


class Highest:
    """The highest products of some probes with the rows of blocks.

    Args:
        probes: Number of probes, P.
        depth: Number of products for each probe, at least 1.
        lowest: A value of the products' type that is lower than all products, or -inf.
    """

    def __init__(self, probes: int, depth: int, lowest: Any) -> None:
        self._size, self._depth, self._lowest = probes, depth, lowest
        self._parts = list[tuple[Any, Any, Any]]()
        self._best = lowest.expand(probes, depth)  # highest products of groups

    def add(self, products: Any, begin: int, count: int) -> None:
        """Add the products of a block. NaN counts as infinity.

        Args:
            products: [R, P], whole groups; values after the first `count` are overwritten.
            begin: Number of the block's first row.
            count: Number of rows, at least 1.
        """
        products[count:] = self._lowest
        groups = products.unflatten(0, (-1, _GROUP))
        highest = groups.amax(1).T
        if highest.is_floating_point() and bool(highest.sum().isnan()):  # from damaged rows
            products.nan_to_num_(nan=float("inf"))
            highest = groups.amax(1).T
        self._raise_floor(highest)
        floor = self._best[:, -1]  # at most the product of rank `depth`
        probe, group = (highest >= floor[:, None]).nonzero(as_tuple=True)
        many = min(_CROWDED * self._depth, len(groups)) * self._size
        if len(group) >= many:
            found, row, probe = _sorted(products, min(self._depth, count))
        else:
            near = groups[group, :, probe]
            which, place = (near >= floor[probe][:, None]).nonzero(as_tuple=True)
            found, row, probe = near[which, place], group[which] * _GROUP + place, probe[which]
        self._parts.append((found, row + begin, probe))

    def result(self) -> tuple[NDArray[np.float64], Keys]:
        """Return products float64 [P, depth], descending, and rows int64 [P, depth]; -inf and -1 if
        there are fewer.
        """
        import torch

        values, numbers, owners = (torch.cat(column) for column in zip(*self._parts, strict=True))
        high = (values >= self._best[owners, -1]) & (values > self._lowest)
        found, rows, probes = (one[high].numpy() for one in (values.double(), numbers, owners))
        order = np.lexsort((-found, probes))
        found, rows, probes = found[order], rows[order], probes[order]
        rank = np.arange(len(probes)) - np.searchsorted(probes, probes)
        kept = rank < self._depth
        products = np.full((self._size, self._depth), -np.inf)
        places = np.full((self._size, self._depth), -1, np.int64)
        products[probes[kept], rank[kept]] = found[kept]
        places[probes[kept], rank[kept]] = rows[kept]
        return products, places

    def _raise_floor(self, highest: Any) -> None:
        """Merge the highest products of groups, [P, G], into the best."""
        import torch

        if self._parts:  # few of them are high
            probe, group = (highest > self._best[:, -1:]).nonzero(as_tuple=True)
            sizes = torch.bincount(probe, minlength=self._size)
            place = torch.arange(len(probe)) - (sizes.cumsum(0) - sizes)[probe]
            few = self._lowest.repeat(self._size, int(sizes.max()))
            few[probe, place] = highest[probe, group]
            highest = few
        self._best = torch.cat([self._best, highest], 1).topk(self._depth, dim=1).values


def _sorted(products: Any, depth: int) -> tuple[Any, Any, Any]:
    """Return the `depth` highest products [R, P] of each probe, their rows and their probes."""
    import torch

    found, rows = products.T.topk(depth, dim=1)
    probes = torch.arange(len(found)).repeat_interleave(depth)
    return found.flatten(), rows.flatten(), probes
