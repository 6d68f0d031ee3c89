"""What the tests of ranking share."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def dense():
    """The dense reference of re-ranking, which the benchmark uses too."""
    path = Path(__file__).parents[3] / "tools" / "bench" / "dense_reranking.py"
    spec = importlib.util.spec_from_file_location("dense_reranking", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def by_loop():
    """A function (scores, query_ids, gallery_ids[, cameras of both]) -> every measure of a loop."""
    return _by_loop


def _by_loop(scores, query_ids, gallery_ids, query_cameras=None, gallery_cameras=None):
    """Rank every query by a plain loop: the official Market-1501 evaluation, ties worst first."""
    first, plain, trapezoid, minp, without = [], [], [], [], 0
    for q in range(len(scores)):
        kept = []
        for g in range(scores.shape[1]):
            same = query_ids[q] == gallery_ids[g]
            junk = gallery_ids[g] == "-1"
            if query_cameras is not None:
                junk |= same and query_cameras[q] == gallery_cameras[g]
            if not junk:
                kept.append((-scores[q, g], bool(same)))
        good = [same for _, same in sorted(kept)]  # False before True among equal scores
        if not any(good):
            without += 1
            continue
        ranks = [r + 1 for r, same in enumerate(good) if same]
        first.append(ranks[0])
        plain.append(np.mean([(j + 1) / r for j, r in enumerate(ranks)]))
        # the trapezoid of the official code: old and new precision at each recall step
        area, old_recall, old_precision, hits = 0.0, 0.0, 1.0, 0
        for position, same in enumerate(good):
            hits += same
            recall, precision = hits / len(ranks), hits / (position + 1)
            area += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
        trapezoid.append(area)
        minp.append(len(ranks) / ranks[-1])
    cmc = [np.mean(np.array(first) <= r) for r in range(1, scores.shape[1] + 1)]
    return cmc, np.mean(plain), np.mean(trapezoid), np.mean(minp), without
