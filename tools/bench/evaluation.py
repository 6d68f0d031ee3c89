"""Evaluation against what the machine allows, in ratios; one run, one table.

    python tools/bench/evaluation.py [--rows 40000] [--json]

Every ratio is of two times taken one right after the other on this machine, the best of a few.
"""

import argparse
import json

import numpy as np
from common import WIDTH, faces, peak, seconds
from ranking import bench_reranking, bench_retrieval
from sklearn.metrics import roc_curve
from threadpoolctl import threadpool_limits

from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.scoring.blocks import NUMPY
from facever.evaluation.scoring.engines import speed_up
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import stream


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
        found["reranking"] = bench_reranking(6000)
    if options.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        shown = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{name}: {shown}")


if __name__ == "__main__":
    main()
