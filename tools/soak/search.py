"""Exact search of a large gallery against float64: people, order, ties and the last bit of scores.

    facever embed sface lfw --out faces
    python tools/soak/search.py faces [--rows 100000] [--probes 10000] [--in-turn] [--state FILE]

The vectors of an embedding set are repeated, with noise from the second copy on, to many rows of
as many people as rows / 4. Probes are other noisy copies. Each block of probes is searched by every
way to compare, with one and two threads, and in batches of 1, 3, 4, 64 and 500; each answer must
be that of float64 products of all pairs. With `--in-turn`, for many rows, each block has one
number of threads and one size of batches, the next block the next ones. The state file holds the
finished blocks: a repeated command continues.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import faiss
import numpy as np
import torch

from facever.core.files import write_text
from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.unit import pair_cosines, unit_rows
from facever.gallery.checksums import checksums_of
from facever.gallery.index import exact
from facever.gallery.index.codes import Codes
from facever.gallery.index.people import Part, ranked
from facever.gallery.index.screen import CodeScreen
from facever.gallery.index.view import View
from facever.gallery.records import Entries

K, BLOCK, EACH, COLUMNS = 5, 500, 4, 20_000
BATCHES, THREADS = (1, 3, 4, 64, BLOCK), (2, 1)  # the first has parts for two
ENGINES = ("scalar quantiser", "int8 products", "bfloat16 products", "float32")
_NEAR = 1e-4  # float64 products so near the k-th best are scored as the gallery does


def noisy(vectors: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Return rows of the vectors in turn, with noise of up to a third of their length."""
    random, found = stream(seed, "soak"), np.empty((rows, vectors.shape[1]), np.float32)
    for start in range(0, rows, len(vectors)):
        some = vectors[: rows - start]
        noise = random.standard_normal(some.shape) / np.sqrt(vectors.shape[1])
        share = 0 if start == seed == 0 else random.uniform(0, 1 / 3)
        found[start : start + len(some)] = unit_rows(some + share * noise)[0]
    return found


def expected(entries: Entries, probes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers by float64 products of all pairs, block by block."""
    doubles, near = probes.astype(np.float64), []
    best = np.full((len(probes), EACH * K), -np.inf)  # so many entries are of K people at least
    for start in range(0, len(entries.vectors), COLUMNS):
        products = doubles @ entries.vectors[start : start + COLUMNS].astype(np.float64).T
        both = np.concatenate([best, products], axis=1)
        best = np.partition(both, both.shape[1] - EACH * K, axis=1)[:, -EACH * K :]
        floor = best.min(axis=1) - _NEAR
        rows, columns = np.nonzero(products >= floor[:, None])
        near.append((rows, columns + start, products[rows, columns]))
    rows, columns, products = (np.concatenate(column) for column in zip(*near, strict=True))
    kept = products >= floor[rows]
    rows, columns = rows[kept], columns[kept]
    scores = pair_cosines(probes[rows], entries.vectors[columns])
    return ranked(rows, entries.owners[columns], scores, len(probes), K, "max")


def settings(block: int, in_turn: bool) -> list[tuple[int, int]]:
    """Return the numbers of threads and the sizes of batches for a block of probes."""
    every = list(product(THREADS, BATCHES))
    return [every[block % len(every)]] if in_turn else every


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--probes", type=int, default=10_000)
    parser.add_argument("--state", type=Path, default=Path("soak-search.json"))
    parser.add_argument("--in-turn", action="store_true", help="one setting for each block")
    options = parser.parse_args()
    given = EmbeddingSet.load(options.embeddings)
    base = np.asarray(given.vectors[given.acquired], np.float32)
    vectors, numbers = noisy(base, options.rows, 0), np.arange(1, options.rows + 1)
    owners = stream(0, "owners").permutation(options.rows) // EACH + 1
    entries = Entries(numbers, owners, vectors, checksums_of(numbers, owners, vectors))
    codes = Codes.of(vectors)
    if codes is None:
        raise SystemExit("no scale fits these vectors: nothing to test")
    view = View([Part(entries), Part(entries.rows(slice(0)))], int(owners.max()))
    view._screen = screen = CodeScreen(codes)
    probes = noisy(base, options.probes, 1)
    said = [options.rows, options.probes, len(base), options.in_turn]
    state = json.loads(options.state.read_text()) if options.state.is_file() else {}
    done = state.get("done", 0) if state.get("of") == said else 0
    for start in range(done, options.probes, BLOCK):
        block = probes[start : start + BLOCK]
        right = expected(entries, block)
        for engine, (threads, batch) in product(ENGINES, settings(start // BLOCK, options.in_turn)):
            exact.engine_for = lambda *_, engine=engine: engine
            faiss.omp_set_num_threads(threads)
            torch.set_num_threads(threads)
            for first in range(0, len(block), batch):
                part = slice(first, first + batch)
                found = view.search(block[part], K, "max")
                for one, other in zip(found, right, strict=True):
                    if not np.array_equal(one, other[part]):
                        where = f"probes {start + first} to {start + first + batch}"
                        raise SystemExit(f"{engine}, {threads} threads, {where} differ")
        write_text(options.state, json.dumps({"of": said, "done": start + BLOCK}))
        print(f"{start + len(block)} probes, {screen.searched} screened, {screen.fallbacks} exact")


if __name__ == "__main__":
    main()
