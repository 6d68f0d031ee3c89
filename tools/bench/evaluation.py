"""Evaluation against what the machine allows, in ratios; one run, one table.

    python tools/bench/evaluation.py [--rows 40000] [--json]
    python tools/bench/evaluation.py --device cuda --rows 1000000 --far 1e-8

Every ratio is the median over rounds of two times taken one right after the other.
"""

import argparse

from _figures import as_json, as_table, at_least, at_most, figures_of
from all_pairs import bench_all_pairs, bench_device, bench_scikit_learn
from ranking import LIMITS as RANKING_LIMITS
from ranking import bench_reranking, bench_retrieval
from threadpoolctl import threadpool_limits

PARTS = ("all_pairs", "scikit_learn", "retrieval", "reranking")

LIMITS = {
    "rate_over_products": (at_least, 1.2),  # with fast bfloat16
    "rate_over_products_without_bf16": (at_least, 0.5),
    "intervals_over_scoring": (at_most, 1.0),
    "memory_over_embeddings_mb": (at_most, 1000.0),
    "curve_times_as_fast": (at_least, 30.0),
    **RANKING_LIMITS,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rows-scikit-learn", type=int, default=10_000)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="all pairs there, nothing else")
    parser.add_argument("--far", type=float, default=1e-8, help="with --device")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    if options.device:
        found[options.device] = bench_device(options.rows, options.far, options.device)
        options.only = ()
    with threadpool_limits(1):
        if "all_pairs" in options.only:
            found["all_pairs"] = bench_all_pairs(options.rows)
        if "scikit_learn" in options.only:
            found["scikit_learn"] = bench_scikit_learn(options.rows_scikit_learn)
    with threadpool_limits(2):
        if "retrieval" in options.only:
            found["retrieval"] = bench_retrieval()
        if "reranking" in options.only:
            found["reranking"] = bench_reranking(6000)
    figures = figures_of(found, LIMITS)
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
