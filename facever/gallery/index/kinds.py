"""Kinds of index: exact, a FAISS factory string, or chosen by size.

"flat" is exact search. Other kinds are strings for FAISS's `index_factory`, with search parameters
after a colon: "IVF4096,SQ8:nprobe=64", "HNSW32:efSearch=64", "PQ64". "auto" chooses when the index
is written:

1. up to a million entries: flat;
2. above, also flat if its vectors fit the memory limit and reading all of them takes no longer than
the latency limit; 3. else IVF with about 4 sqrt(N) cells, whose codes are the first of Flat (4
bytes a dimension),
   SQ8 (1 byte) and PQ (1/8 byte) that fits the memory limit, or PQ; it probes as many cells as can
   be read within the latency limit, between 8 and an eighth of all cells.

The default limits are half of the machine's memory and 50 ms. To set them:
"auto:memory_gb=8,latency_ms=20". The assumed reading speed is 4 GB/s.
"""

import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from facever.core.console import duration, say
from facever.core.seeding import stream
from facever.data.machine import usable_cpus
from facever.errors import GalleryError
from facever.gallery.index.faiss_import import import_faiss
from facever.gallery.pgvector import checked_pgvector, is_pgvector
from facever.gallery.records import Vectors

FLAT, AUTO = "flat", "auto"
_AUTO_FLAT = 1_000_000  # entries
_BYTES_PER_SECOND = 4e9  # reading speed of a search
_LATENCY_MS = 50.0
_ENOUGH = 39  # training vectors per centroid that FAISS recommends
_MOST = 256  # training vectors per centroid that FAISS uses at most
_MANY = 1_000_000  # training vectors: above this number, only _ENOUGH per centroid
_SAMPLE = 100_000  # training vectors for kinds without centroids
_BLOCK = 65536
_FIRST = 10_000  # vectors added to a graph at once; the time of the first of them is measured
_LONG = 10  # seconds: the duration of a longer build is announced


def checked_kind(kind: str, dimension: int) -> str:
    """Return a kind of index in stored form.

    Args:
        kind: "flat", "auto", a FAISS factory string, or one of "pgvector".
        dimension: Dimension of the vectors.

    Raises:
        GalleryError: The kind is unknown, or does not have these parameters.
    """
    if not isinstance(kind, str):
        raise GalleryError(
            f"an index must be auto, flat or a FAISS factory string such as HNSW32, not {kind!r}"
        )
    if is_pgvector(kind):
        return checked_pgvector(kind, dimension)
    key, _, parameters = kind.strip().partition(":")
    if key.lower() == AUTO:
        _wanted(parameters)
        return f"{AUTO}:{parameters}" if parameters else AUTO
    if key.lower() == FLAT:
        if parameters:
            raise GalleryError(f"index 'flat' has no parameters '{parameters}'")
        return FLAT
    faiss = import_faiss()
    set_parameters(faiss, make(faiss, key, dimension, faiss.METRIC_INNER_PRODUCT), kind.strip())
    return kind.strip()


def resolved(kind: str, count: int, dimension: int) -> str:
    """Return the kind for a number of entries: "flat" or a factory string.

    Args:
        kind: A kind from `checked_kind`.
        count: Number of entries.
        dimension: Dimension of the vectors.
    """
    key, _, parameters = kind.partition(":")
    if key != AUTO:
        return kind
    memory, latency = _wanted(parameters)
    readable = latency / 1e3 * _BYTES_PER_SECOND
    if count <= _AUTO_FLAT or 4 * count * dimension <= min(memory, readable):
        return FLAT
    cells = 2 ** round(math.log2(4 * math.sqrt(count)))
    pieces = max(m for m in range(1, max(1, dimension // 8) + 1) if dimension % m == 0)
    codes = {"Flat": 4 * dimension, "SQ8": dimension, f"PQ{pieces}": pieces}
    code = next((code for code, size in codes.items() if count * size <= memory), f"PQ{pieces}")
    probes = 2 ** int(math.log2(max(1.0, readable / (count * codes[code]) * cells)))
    return f"IVF{cells},{code}:nprobe={min(max(8, probes), cells // 8)}"


def _wanted(parameters: str) -> tuple[float, float]:
    """Return the limits of memory in bytes and of latency in milliseconds."""
    wanted = {"memory_gb": 0.0, "latency_ms": _LATENCY_MS}
    for part in filter(None, parameters.split(",")):
        name, _, value = part.partition("=")
        try:
            wanted[name] = float(value) if name in wanted else math.nan
        except ValueError:
            wanted[name] = math.nan
        if not 0 < wanted[name] < math.inf:
            raise GalleryError(
                f"index 'auto' has no parameters '{parameters}' (allowed: such as "
                "memory_gb=8,latency_ms=20)"
            )
    if not wanted["memory_gb"]:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2, wanted["latency_ms"]
    return 1e9 * wanted["memory_gb"], wanted["latency_ms"]


def make(faiss: ModuleType, key: str, dimension: int, metric: int) -> Any:
    """Return an empty index by its factory string.

    Raises:
        GalleryError: FAISS does not know this kind.
    """
    try:
        index = faiss.index_factory(dimension, key, metric)
    except RuntimeError as error:
        raise GalleryError(
            f"no index '{key}' for vectors of width {dimension} ({reason(error)}): give a FAISS "
            "factory string, such as Flat, IVF256,Flat, HNSW32 or PQ64"
        ) from error
    return index


def set_parameters(faiss: ModuleType, index: Any, kind: str) -> None:
    """Set the search parameters after the colon of a kind.

    Raises:
        GalleryError: The index has no such parameters.
    """
    key, _, parameters = kind.partition(":")
    if not parameters:
        return
    try:
        faiss.ParameterSpace().set_index_parameters(index, parameters)
    except RuntimeError as error:
        raise GalleryError(
            f"index '{key}' has no parameters '{parameters}': valid are, for example, nprobe=8 "
            "for IVF, "
            "efSearch=64 for HNSW"
        ) from error


def build(kind: str, vectors: Vectors, metric: int | None = None) -> tuple[Any, str]:
    """Return an index of vectors, trained on a seeded sample of them, and a note (may be empty).

    Args:
        kind: A factory string, with search parameters after a colon.
        vectors: float32 [N, D]; a search returns their row numbers.
        metric: FAISS's; inner product by default.

    Raises:
        GalleryError: FAISS does not know the kind, or cannot train it on these vectors.
    """
    faiss = import_faiss()
    key, _, parameters = kind.partition(":")
    size, dimension = vectors.shape
    index = make(faiss, key, dimension, faiss.METRIC_INNER_PRODUCT if metric is None else metric)
    set_parameters(faiss, index, kind)
    most = _centroids(faiss, index)
    quantiser = faiss.downcast_index(index)
    if hasattr(quantiser, "do_polysemous_training") and "ht=" not in parameters:
        # The polysemous training only serves the Hamming filter (ht=) and takes seconds per
        # sub-quantiser; the distances are the same without it.
        quantiser.do_polysemous_training = False
    try:
        index.train(_sample(vectors, max(_ENOUGH * most, min(_MOST * most, _MANY)) or _SAMPLE))
    except RuntimeError as error:
        needed = re.search(r"number of clusters \((\d+)\)", str(error))
        why = (
            f"needs at least {int(needed[1]):,} gallery vectors to train; there are {size:,}"
            if needed
            else f"cannot be trained on these {size:,} vectors ({reason(error)})"
        )
        raise GalleryError(f"index '{key}' {why}") from error
    if _has_graph(faiss, index):
        with _all_cores(faiss):
            _add_to_graph(index, key, vectors)
    else:
        for start in range(0, size, _BLOCK):
            index.add(np.ascontiguousarray(vectors[start : start + _BLOCK], np.float32))
    note = ""
    if size < _ENOUGH * most:
        note = (
            f"index '{key}' was trained on {size:,} vectors; FAISS recommends {_ENOUGH} for "
            f"each of its {most:,} centroids, {_ENOUGH * most:,}"
        )
    return index, note


def _has_graph(faiss: ModuleType, index: Any) -> bool:
    """Return whether vectors are added to a graph (HNSW), by one search each."""
    while hasattr(index, "base_index"):  # of a refinement
        index = faiss.downcast_index(index.base_index)
    return hasattr(index, "hnsw")


@contextmanager
def _all_cores(faiss: ModuleType) -> Iterator[None]:
    """Let this thread's calls of FAISS use all cores that the process may use."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(usable_cpus())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _add_to_graph(index: Any, key: str, vectors: Vectors) -> None:
    """Add vectors, and say how long it takes if it takes long.

    The time for a vector grows with the logarithm of the vectors before it.
    """
    size, start = len(vectors), time.monotonic()
    for begin in range(0, size, _FIRST):
        index.add(np.ascontiguousarray(vectors[begin : begin + _FIRST], np.float32))
        if begin == 0 and size > _FIRST:
            work = size * math.log(size) / (_FIRST * math.log(_FIRST))
            expected = (time.monotonic() - start) * work
            if expected > _LONG:
                say(
                    f"index '{key}': building the graph of {size:,} vectors takes about "
                    f"{duration(expected)}"
                )


def reason(error: Exception) -> str:
    """Return the message of a FAISS error without the position in its source code."""
    text = " ".join(str(error).split())
    return re.split(r"failed: |\.cpp:\d+: ", text)[-1]


def _centroids(faiss: ModuleType, index: Any) -> int:
    """Return the largest number of centroids that are trained at once.

    Suppresses FAISS's own message about too few vectors.
    """
    parts = []
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        parts.append((int(inverted.nlist), inverted.cp))
    for part in (faiss.downcast_index(index), inverted):
        if hasattr(part, "pq"):
            parts.append((int(part.pq.ksub), part.pq.cp))
    for _, clustering in parts:
        clustering.min_points_per_centroid = 1
    return max((count for count, _ in parts), default=0)


def _sample(vectors: Vectors, most: int) -> Vectors:
    if len(vectors) <= most:
        return np.ascontiguousarray(vectors, np.float32)
    rows = stream(0, "index training").choice(len(vectors), most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)], np.float32)
