"""Exact search in two steps: int8 codes screen the vectors, and exact scores decide.

The screen returns the rows with the highest approximate scores, and a bound on the error of these.
A row below the best k by more than twice the bound cannot be among them, so the answer is that of
exact search. The way to compute follows from the CPU's instructions and the number of probes:

| CPU | 1 probe | 2 to 95 | more |
|---|---|---|---|
| AMX | FAISS's scalar quantiser | int8 products by torch (1) | bfloat16 products by torch (1) |
| AVX-512 VNNI | scalar quantiser | int8 products (1) | int8 products (1) |
| AVX2 or 64-bit ARM | scalar quantiser | up to 8 by it, then float32 | float32 products |
| other | float32 | float32 products | float32 products |

(1) If torch is loaded, or its import pays; else as with AVX2. AVX-512 BF16 has bfloat16 products.
Those are of the vectors themselves, not of their codes.
"""

import threading
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import instruction_sets
from facever.gallery.index import bfloat16_products, int8_products
from facever.gallery.index.codes import Codes
from facever.gallery.index.int8_products import SECOND, highest_products, whole_queries
from facever.gallery.index.quantiser import Quantiser
from facever.gallery.records import Keys, Scores, Vectors

Engine = Literal["scalar quantiser", "int8 products", "bfloat16 products", "float32"]
_FEW = 2  # probes: fewer are compared one by one
_SOME = 9  # probes: fewer are compared one by one where int8 products are not fast
_MANY = 96  # probes: from here on, rounding the vectors to bfloat16 pays
_QUANTISED = frozenset({"avx2", "neon"})  # instructions that FAISS's scalar quantiser uses
_MOST_COLUMNS = 2**31 // (128 * 128 * SECOND)  # so that sums of two words fit into 32 bits


class NearRows(NamedTuple):
    """The highest approximate scores of each query, descending.

    Args:
        scores: float32 [Q, depth].
        rows: int64 [Q, depth]; -1 for missing ones.
        errors: Bound on the errors of the scores of each query, float64 [Q].
    """

    scores: Scores
    rows: Keys
    errors: NDArray[np.float64]


def engine_for(queries: int, rows: int, dimension: int) -> Engine:
    """Return how so many queries and rows are compared on this machine."""
    work = float(queries) * rows * dimension
    if queries >= _MANY and bfloat16_products.is_usable(work):
        return "bfloat16 products"
    if queries >= _FEW and int8_products.is_usable(work):
        return "int8 products"
    return "scalar quantiser" if queries < _SOME and _quantises() else "float32"


class CodeScreen:
    """Approximate scores of rows, from their codes. Threads may share one.

    Args:
        codes: The int8 copy of the rows' vectors.
    """

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self._lock = threading.Lock()
        self._quantiser: Quantiser | None = None
        self.searched, self.fallbacks = 0, 0

    def count(self, searched: int, fallbacks: int) -> None:
        """Count queries that were searched, and those of them whose candidates were too many."""
        with self._lock:
            self.searched += searched
            self.fallbacks += fallbacks

    def nearest(
        self, queries: Vectors, depth: int, engine: Engine, rows: Keys | None = None
    ) -> NearRows:
        """Return the rows with the highest scores; those outside the scale are arbitrary.

        Args:
            queries: float32 [Q, D].
            depth: Number of rows per query, at least 1.
            engine: "scalar quantiser" or "int8 products".
            rows: Only these rows, int64 [M], ascending; all by default.
        """
        scale, codes, by_torch = self.codes.scale, self.codes.codes, engine == "int8 products"
        moved, level = scale.moved_queries(queries)
        words = 2 if by_torch and codes.shape[1] <= _MOST_COLUMNS else 1
        whole, widths, lost = whole_queries(moved, words)
        products: NDArray[np.floating]
        if by_torch:
            products, found = highest_products(codes, whole, depth, rows)
        else:
            products, found = self._quantised().highest(whole[0], depth, rows)
        units = scale.step * widths / (1 if words == 1 else SECOND)
        scores = level[:, None] + units[:, None] * products
        bound = self.codes.bound(moved, lost, queries.shape[1])
        return NearRows(scores.astype(np.float32), found, bound)

    def _quantised(self) -> Quantiser:
        """Return the codes as FAISS's indexes, a copy in memory."""
        with self._lock:
            if self._quantiser is None:
                self._quantiser = Quantiser(self.codes.codes)
            return self._quantiser


def _quantises() -> bool:
    return bool(instruction_sets() & _QUANTISED)
