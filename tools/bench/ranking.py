"""Retrieval and re-ranking against what the machine allows; `evaluation.py` runs both.

python tools/bench/ranking.py [--rerank 6000] [--json]
"""

import argparse
import json
import subprocess
import sys

import numpy as np
from _figures import Rounds, as_json, as_table, at_least, at_most, figures_of, ratios
from common import faces, in_turns, peak, seconds
from dense_reranking import reranked_distances
from threadpoolctl import threadpool_limits

from facever.evaluation.one_to_many.reranking import Reranked, Reranking
from facever.evaluation.one_to_many.retrieval import retrieval

QUERIES, GALLERY = 3368, 15913  # of Market-1501


def bench_retrieval() -> dict[str, float]:
    """CMC, both mAPs and mINP over the product and a sort of its rows."""
    vectors, who = faces(QUERIES + GALLERY, each=26)
    order = np.random.default_rng(0).permutation(len(vectors))
    vectors, who = vectors[order], who[order]
    camera = np.random.default_rng(1).integers(6, size=len(who))
    query, gallery = slice(QUERIES), slice(QUERIES, None)

    def product_and_sort() -> None:
        for start in range(0, QUERIES, 256):
            np.sort(vectors[start : min(start + 256, QUERIES)] @ vectors[gallery].T, axis=1)

    def ours() -> None:
        retrieval(
            {"vectors": vectors[query], "identity": who[query], "camera": camera[query]},
            against={
                "vectors": vectors[gallery],
                "identity": who[gallery],
                "camera": camera[gallery],
            },
            camera="camera",
        )

    alone, whole = in_turns(3, product_and_sort, ours)
    return {
        "product_and_sort_s": Rounds(alone),
        "retrieval_s": Rounds(whole),
        "over": ratios(whole, alone),
    }


def bench_reranking(rows: int) -> dict[str, float]:
    """Re-ranking of as many queries as gallery rows, sparse and dense, each in its own process."""
    found: dict[str, list[dict[str, float]]] = {"sparse": [], "dense": []}
    for _ in range(3):
        for form, rounds in found.items():
            command = [sys.executable, __file__, "--form", form, "--rerank", str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rounds.append(json.loads(done.stdout))
    dense, sparse = (
        {key: [round_[key] for round_ in found[form]] for key in found[form][0]}
        for form in ("dense", "sparse")
    )
    return {
        "rows": rows,
        "dense_s": Rounds(dense["seconds"]),
        "sparse_s": Rounds(sparse["seconds"]),
        "times_as_fast": ratios(dense["seconds"], sparse["seconds"]),
        "dense_mb": Rounds(dense["memory_mb"]),
        "sparse_mb": Rounds(sparse["memory_mb"]),
        "share_of_memory": ratios(sparse["memory_mb"], dense["memory_mb"]),
        "pairs_that_differ": max(dense["pairs_that_differ"]),
    }


def rerank(form: str, rows: int) -> dict[str, float]:
    """Make all final distances in one form; memory is what it takes over the embeddings."""
    vectors, _ = faces(2 * rows, each=8)
    vectors = vectors[np.random.default_rng(0).permutation(len(vectors))]
    queries, gallery = vectors[:rows], vectors[rows:]
    before = peak()

    def sparse() -> None:
        ranking = Reranked(queries, gallery, Reranking())
        for start in range(0, rows, 512):
            ranking.block(np.arange(start, min(start + 512, rows)))

    made: list[np.ndarray] = []
    work = sparse if form == "sparse" else lambda: made.append(reranked_distances(queries, gallery))
    taken, memory = seconds(work), peak() - before
    found = {"seconds": taken, "memory_mb": memory}
    if made:
        ours = -Reranked(queries, gallery, Reranking()).block(np.arange(min(rows, 256)))
        found["pairs_that_differ"] = float((np.abs(ours - made[0][: len(ours)]) > 1e-4).mean())
    return found


LIMITS = {
    "over": (at_most, 2.5),
    "times_as_fast": (at_least, 5.0),
    "share_of_memory": (at_most, 0.1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rerank", type=int, default=6000)
    parser.add_argument("--form", choices=["sparse", "dense"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.form:
        with threadpool_limits(2):
            print(json.dumps(rerank(options.form, options.rerank)))
        return
    with threadpool_limits(2):
        found = {"retrieval": bench_retrieval(), "reranking": bench_reranking(options.rerank)}
    figures = figures_of(found, LIMITS)
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
