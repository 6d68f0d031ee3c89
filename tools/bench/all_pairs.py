"""Verification over all pairs, against the matrix products alone and against scikit-learn."""

from collections.abc import Callable

import numpy as np
from _figures import Rounds, ratios
from common import faces, forget_peak, in_turns, peak
from sklearn.metrics import roc_curve

from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.verification import verification
from facever.evaluation.scoring.engines import choose_engine, worth_it
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import NUMPY, Screen
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import most_wanted
from facever.evaluation.statistics.roc import Roc

ROUNDS = 3


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
    made = []
    memory = 0.0

    def score() -> None:
        made[:] = [stream(pairs, wanted)]

    def judge(intervals: bool) -> None:
        nonlocal memory
        measure(made[0], [1e-6], protocol="bench", intervals=intervals)
        memory = max(memory, peak() - before)

    products, scoring, result, bare = in_turns(
        ROUNDS,
        _products(pairs, NUMPY.screen(pairs)),
        score,
        lambda: judge(True),
        lambda: judge(False),
    )
    again, float32 = in_turns(
        ROUNDS,
        _products(pairs, NUMPY.screen(pairs)),
        lambda: stream(pairs, wanted, "float32"),
    )
    return {
        "pairs": pairs.impostor + pairs.genuine,
        "screens_in_bf16": float(worth_it(pairs, wanted)),
        "products_s": Rounds(products),
        "scoring_s": Rounds(scoring),
        "rate_over_products": ratios(products, scoring),
        "rate_over_products_without_bf16": ratios(again, float32),
        "intervals_over_scoring": Rounds(
            [(a - b) / c for a, b, c in zip(result, bare, scoring, strict=True)]
        ),
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
    made = []

    def score() -> None:
        made[:] = [stream(pairs, wanted, "auto", device)]

    products, scoring, result = in_turns(
        ROUNDS,
        _products(pairs, screen, wait),
        score,
        lambda: measure(made[0], [far], protocol="bench"),
    )
    return {
        "pairs": pairs.impostor + pairs.genuine,
        "products_s": Rounds(products),
        "scoring_s": Rounds(scoring),
        "rate_over_products": ratios(products, scoring),
        "result_with_intervals_s": Rounds(result),
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
    pairs = AllPairs(make_scorer(vectors), who)
    wanted = most_wanted([1e-6], pairs.impostor)
    theirs, ours, curve = in_turns(
        ROUNDS,
        lambda: roc_curve(same, scores),
        lambda: verification(vectors, who, far=[1e-3, 1e-4, 1e-6]),
        lambda: Roc(stream(pairs, wanted)).curve(),
    )
    return {
        "scores": len(scores),
        "roc_curve_s": Rounds(theirs),
        "verification_s": Rounds(ours),
        "scoring_and_curve_s": Rounds(curve),
        "curve_times_as_fast": ratios(theirs, curve),
        "with_all_intervals_times_as_fast": ratios(theirs, ours),
    }
