"""Verification over all pairs, against the matrix products alone and against scikit-learn."""

from collections.abc import Callable

import numpy as np
from common import WIDTH, faces, forget_peak, peak, seconds
from sklearn.metrics import roc_curve

from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.scoring.blocks import NUMPY, Screen
from facever.evaluation.scoring.engines import choose_engine, speed_up
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.statistics.roc import Roc


def bench_all_pairs(rows: int) -> dict[str, float]:
    """All pairs at FAR 1e-6, one thread, over the float32 products of the same blocks alone.

    Both with bfloat16, where the processor is fast at it, and without.
    """
    import torch

    torch.set_num_threads(1)
    vectors, who = faces(rows)
    forget_peak()
    before = peak()
    pairs = AllPairs(make_scorer(vectors), who)
    wanted = most_wanted([1e-6], pairs.impostor)
    speed_up(WIDTH)  # measured once, which is no part of a time
    alone = seconds(_products(pairs, NUMPY.screen(pairs)))
    made = []
    scoring = seconds(lambda: made.append(stream(pairs, wanted)))
    result = seconds(lambda: measure(made[0], [1e-6], protocol="bench"))
    bare = seconds(lambda: measure(made[0], [1e-6], protocol="bench", intervals=False))
    memory = peak() - before
    float32 = seconds(lambda: stream(pairs, wanted, "float32"))
    return {
        "pairs": pairs.impostor + pairs.genuine,
        "fast_bf16": speed_up(WIDTH),
        "products_s": alone,
        "scoring_s": scoring,
        "rate_over_products": alone / scoring,
        "rate_over_products_without_bf16": alone / float32,
        "intervals_over_scoring": (result - bare) / scoring,
        "memory_over_embeddings_mb": memory,
    }


def bench_device(rows: int, far: float, device: str) -> dict[str, float]:
    """All pairs on a device, over the products alone of what screens there."""
    import torch

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    vectors, who = faces(rows)
    pairs = AllPairs(make_scorer(vectors), who)
    wanted = most_wanted([far], pairs.impostor)
    screen = choose_engine(pairs, wanted, "auto", device).screen(pairs)
    alone = seconds(_products(pairs, screen, wait))
    made = []
    scoring = seconds(lambda: made.append(stream(pairs, wanted, "auto", device)))
    result = seconds(lambda: measure(made[0], [far], protocol="bench"))
    return {
        "pairs": pairs.impostor + pairs.genuine,
        "products_s": alone,
        "scoring_s": scoring,
        "rate_over_products": alone / scoring,
        "result_with_intervals_s": result,
        "kept": len(made[0].top),
        "device_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if device != "cpu" else 0,
    }


def _products(
    pairs: AllPairs, blocks: Screen, wait: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    """Return the work of multiplying every block, and of waiting for the last."""

    def work() -> None:
        for left, right in pairs.blocks(blocks.shape):
            blocks.product(left, right)
        wait()

    return work


def bench_scikit_learn(rows: int) -> dict[str, float]:
    """Scoring and its curve, and all of `verification`, over the curve alone of scikit-learn."""
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
    wanted = most_wanted([1e-6], pairs.impostor)
    curve = seconds(lambda: Roc(stream(pairs, wanted)).curve(), 2)
    return {
        "scores": len(scores),
        "roc_curve_s": theirs,
        "verification_s": ours,
        "scoring_and_curve_s": curve,
        "curve_times_as_fast": theirs / curve,
        "with_all_intervals_times_as_fast": theirs / ours,
    }
