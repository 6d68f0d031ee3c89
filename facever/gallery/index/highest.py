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

_GROUP = 16  # rows; the highest product of a group is compared first
_LONG = 1.5  # times the depth: longer lists are cut, in the mean
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

    Products above a floor are listed for each probe. The floor is at most the product of rank
    `depth` so far; it rises when the lists are cut to their highest products.

    Args:
        probes: Number of probes, P.
        depth: Number of products for each probe, at least 1.
        lowest: A value of the products' type that is lower than all products, or -inf.
    """

    def __init__(self, probes: int, depth: int, lowest: Any) -> None:
        import torch

        self._size, self._depth, self._lowest = probes, depth, lowest
        self._floor = lowest.expand(probes)
        self._listed = torch.zeros(probes, dtype=torch.int64)  # lengths of the lists
        self._products = lowest.expand(probes, 0)
        self._rows = torch.zeros(probes, 0, dtype=torch.int64)

    def add(self, products: Any, begin: int, count: int) -> None:
        """Add the products of a block, without NaN.

        Args:
            products: [R, P], whole groups; values after the first `count` are overwritten.
            begin: Number of the block's first row.
            count: Number of rows, at least 1.
        """
        products[count:] = self._lowest
        groups = products.unflatten(0, (-1, _GROUP))
        highest = _highest_of(groups).T
        if not self._products.shape[1] and len(groups) >= self._depth:
            self._floor = highest.topk(self._depth, dim=1).values[:, -1]
        probe, group = (highest >= self._floor[:, None]).nonzero(as_tuple=True)
        if len(group) >= min(_CROWDED * self._depth, len(groups)) * self._size:
            found, row, probe = _sorted(products, min(self._depth, count))
        else:
            near = groups[group, :, probe]
            which, place = (near >= self._floor[probe][:, None]).nonzero(as_tuple=True)
            found, row, probe = near[which, place], group[which] * _GROUP + place, probe[which]
        self._list(found, row + begin, probe)
        if int(self._listed.sum()) > _LONG * self._depth * self._size:
            self._cut()

    def result(self) -> tuple[NDArray[np.float64], Keys]:
        """Return products float64 [P, depth], descending, and rows int64 [P, depth]; -inf and -1 if
        there are fewer.
        """
        self._cut()
        products = np.full((self._size, self._depth), -np.inf)
        rows = np.full((self._size, self._depth), -1, np.int64)
        there = (self._products > self._lowest).numpy()
        products[:, : there.shape[1]][there] = self._products.double().numpy()[there]
        rows[:, : there.shape[1]][there] = self._rows.numpy()[there]
        return products, rows

    def _list(self, found: Any, rows: Any, probes: Any) -> None:
        """Append products [N] and their rows to the lists of their probes, ascending."""
        import torch

        sizes = torch.bincount(probes, minlength=self._size)
        places = torch.arange(len(probes)) + (self._listed - sizes.cumsum(0) + sizes)[probes]
        self._listed += sizes
        more = int(self._listed.max()) - self._products.shape[1]
        if more > 0:
            self._products = torch.cat([self._products, self._lowest.expand(self._size, more)], 1)
            self._rows = torch.cat([self._rows, self._rows.new_zeros(self._size, more)], 1)
        self._products[probes, places] = found
        self._rows[probes, places] = rows

    def _cut(self) -> None:
        """Cut the lists to their highest products, descending, and raise the floor."""
        kept = min(self._depth, self._products.shape[1])
        self._products, places = self._products.topk(kept, dim=1)
        self._rows = self._rows.gather(1, places)
        self._listed.clamp_(max=kept)
        self._floor = self._products[:, -1]


def _highest_of(groups: Any) -> Any:
    """Return the highest product of each group [G, _GROUP, P], [G, P].

    The order of bfloat16 numbers that are not negative is that of their bits as integers, which
    are compared several times faster.
    """
    import torch

    if groups.dtype == torch.bfloat16:
        highest = groups.view(torch.int16).amax(1)
        if int(highest.min()) >= 0:
            return highest.view(torch.bfloat16)
    return groups.amax(1)


def _sorted(products: Any, depth: int) -> tuple[Any, Any, Any]:
    """Return the `depth` highest products [R, P] of each probe, their rows and their probes."""
    import torch

    found, rows = products.T.topk(depth, dim=1)
    probes = torch.arange(len(found)).repeat_interleave(depth)
    return found.flatten(), rows.flatten(), probes
