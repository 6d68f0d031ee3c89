"""Evaluation against what the machine allows, in ratios; one run, one table.

    python tools/bench/evaluation.py [--rows 40000] [--json]

Every ratio is of two times taken one right after the other on this machine, the best of a few.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import roc_curve
from threadpoolctl import threadpool_limits

from facever.evaluation.one_to_many.retrieval import retrieval
from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.scoring.engines import speed_up
from facever.evaluation.scoring.blocks import NUMPY
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import stream

WIDTH = 512


def faces(rows: int, each: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(-(-rows // each)), each)[:rows]
    centres = random.standard_normal((who[-1] + 1, WIDTH), dtype=np.float32)
    vectors = centres[who] + 1.5 * random.standard_normal((rows, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, who


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def peak() -> float:
    """Return the largest memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bench_all_pairs(rows: int) -> dict[str, float]:
    """All pairs at FAR 1e-6, one thread, over the float32 products of the same blocks alone."""
    vectors, who = faces(rows)
    speed_up(WIDTH)  # imports torch, which is no part of either time
    before = peak()
    pairs = AllPairs(make_scorer(vectors), who)
    blocks = NUMPY.exact(pairs)

    def products() -> None:
        for left, right in pairs.blocks():
            blocks.scores(left, right)

    alone = seconds(products)
    wanted = most_wanted([1e-6], pairs.impostor)
    made = []
    scoring = seconds(lambda: made.append(stream(pairs, wanted)))
    result = seconds(lambda: measure(made[0], [1e-6], protocol="bench"))
    bare = seconds(lambda: measure(made[0], [1e-6], protocol="bench", intervals=False))
    return {
        "pairs": pairs.impostor + pairs.genuine,
        "fast_bf16": speed_up(WIDTH),
        "products_s": alone,
        "scoring_s": scoring,
        "rate_over_products": alone / scoring,
        "intervals_over_scoring": (result - bare) / scoring,
        "memory_over_embeddings_mb": peak() - before,
    }


def bench_scikit_learn(rows: int) -> dict[str, float]:
    """The whole of `verification` over scikit-learn's curve of the same scores alone."""
    vectors, who = faces(rows)
    i, j = np.triu_indices(rows, 1)
    scores = np.empty(len(i), np.float32)
    for start in range(0, len(i), 1 << 20):
        part = slice(start, start + (1 << 20))
        scores[part] = np.einsum("kd,kd->k", vectors[i[part]], vectors[j[part]])
    same = who[i] == who[j]
    del i, j
    theirs = seconds(lambda: roc_curve(same, scores))
    ours = seconds(lambda: verification(vectors, who, far=[1e-3, 1e-4, 1e-6]), 2)
    pairs = AllPairs(make_scorer(vectors), who)
    curve = seconds(lambda: stream(pairs, most_wanted([1e-6], pairs.impostor)), 2)
    return {
        "scores": len(scores),
        "roc_curve_s": theirs,
        "verification_s": ours,
        "times_as_fast": theirs / ours,
        "times_as_fast_scoring_and_curve": theirs / curve,
    }


def bench_retrieval() -> dict[str, float]:
    """CMC, both mAPs and mINP over the product and a sort of its rows, two threads."""
    vectors, who = faces(3368 + 15913, each=26)
    order = np.random.default_rng(0).permutation(len(vectors))
    vectors, who = vectors[order], who[order]
    camera = np.random.default_rng(1).integers(6, size=len(who))
    query, gallery = slice(3368), slice(3368, None)

    def product_and_sort() -> None:
        for start in range(0, 3368, 256):
            np.sort(vectors[start : min(start + 256, 3368)] @ vectors[gallery].T, axis=1)

    alone = seconds(product_and_sort, 3)
    whole = seconds(
        lambda: retrieval(
            vectors[query],
            who[query],
            vectors[gallery],
            who[gallery],
            query_cameras=camera[query],
            gallery_cameras=camera[gallery],
        ),
        3,
    )
    return {"product_and_sort_s": alone, "retrieval_s": whole, "over": whole / alone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rows-scikit-learn", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with threadpool_limits(1):
        found = {
            "all_pairs": bench_all_pairs(options.rows),
            "scikit_learn": bench_scikit_learn(options.rows_scikit_learn),
        }
    with threadpool_limits(2):
        found["retrieval"] = bench_retrieval()
    if options.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{name}: {shown}")


if __name__ == "__main__":
    main()
