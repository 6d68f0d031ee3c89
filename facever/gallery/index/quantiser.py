"""The highest int8 products of a few probes with codes, by FAISS's scalar quantiser.

FAISS compares a probe in one thread, so the codes are in parts, one for each of its threads.
"""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.gallery.index.codes import Integers
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.index.people import top
from facever.gallery.records import Keys

_PART = 8192  # codes at least: fewer are compared before another thread has started
_BLOCK = 1 << 16  # codes copied at once
_ZERO = np.uint8(128)  # FAISS's byte of code 0


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Return threads of a process, in each of which FAISS uses one. A fork has none of them."""
    return ThreadPoolExecutor(
        threads, "scan", initializer=import_faiss().omp_set_num_threads, initargs=(1,)
    )


class Quantiser:
    """Codes in memory, as FAISS's indexes. Threads may share one.

    Args:
        codes: int8 [N, W], at least one.
    """

    def __init__(self, codes: Integers) -> None:
        faiss, (count, width) = import_faiss(), codes.shape
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self._count, self._parts = count, []
        size = -(-count // max(1, min(faiss.omp_get_max_threads(), count // _PART)))
        for begin in range(0, count, size):
            index = faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)
            end = min(begin + size, count)
            for start in range(begin, end, _BLOCK):
                block = codes[start : min(start + _BLOCK, end)].view(np.uint8)
                index.add_sa_codes(block ^ _ZERO)
                _release(codes)
            self._parts.append((begin, index))

    def highest(
        self, probes: Integers, depth: int, rows: Keys | None = None
    ) -> tuple[NDArray[np.float32], Keys]:
        """Return the highest products of each probe with the codes, and their rows.

        Args:
            probes: int8 [Q, W].
            depth: Number of products for each probe, at least 1.
            rows: Only these rows, int64 [M]; all by default.

        Returns:
            Products float32 [Q, depth], descending, and rows int64 [Q, depth]; -inf and -1 if there
            are fewer.
        """
        faiss, floats, chosen = import_faiss(), probes.astype(np.float32), None
        if rows is not None:
            chosen = np.zeros(self._count, bool)
            chosen[rows] = True

        def scanned(part: tuple[int, Any]) -> tuple[NDArray[np.float32], Keys]:
            begin, index = part
            parameters = None
            if chosen is not None:
                bits = np.packbits(chosen[begin : begin + index.ntotal], bitorder="little")
                parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
            products, found = index.search(floats, min(depth, index.ntotal), params=parameters)
            products[found < 0] = -np.inf
            return products, np.where(found < 0, -1, found + begin)

        workers = min(len(self._parts), faiss.omp_get_max_threads())
        if workers == 1:
            each = list(map(scanned, self._parts))
        else:
            each = list(_pool(workers, os.getpid()).map(scanned, self._parts))
        products, found = (np.concatenate(column, axis=1) for column in zip(*each, strict=True))
        return top(products, found, depth)


def _release(copied: Any) -> None:
    """Give back the memory of a file from which an array is mapped, until it is read again."""
    while isinstance(copied, np.ndarray):
        copied = copied.base
    if isinstance(copied, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        copied.madvise(mmap.MADV_DONTNEED)
