"""Suspected wrong labels: trials that contradict the identities of their images.

The result depends on the model: a weak model gives many false suspicions. Check the images.
"""

from dataclasses import dataclass, field

import numpy as np

from facever.evaluation.scoring.pairwise import PairScores
from facever.evaluation.scoring.similarity import Ints
from facever.evaluation.scoring.trials import Histogram, Trials
from facever.render.values import Record

_LISTED = 50


@dataclass(frozen=True)
class Suspects(Record):
    """Images whose identity contradicts the scores.

    Attributes:
        genuine_median: Median of the genuine scores.
        impostor_median: Median of the impostor scores, to the width of a histogram bin.
        alike: Number of impostor trials that score above `genuine_median`.
        alike_pairs: The highest of them, one for each pair of names, as (row, row, score).
        strays: Images whose best genuine score is not above `impostor_median`, as (row, best
            score).
        stray_count: Number of strays; None if the trials are of two sets, or if the genuine
            trials are not all kept.
    """

    genuine_median: float
    impostor_median: float
    alike: int
    alike_pairs: list[tuple[int, int, float]]
    strays: list[tuple[int, float]] = field(default_factory=list)
    stray_count: int | None = None

    json_keys = (
        "genuine_median impostor_median alike alike_pairs strays=stray_count stray_images=strays"
    )


def find_suspects(trials: Trials, *, one_set: bool = True) -> Suspects:
    """Find images whose identity contradicts the scores.

    Args:
        trials: Genuine and impostor trials.
        one_set: Whether both sides of a trial are rows of the same set.
    """
    counted = trials.histogram
    genuine_median = _median(counted.edges, counted.genuine)
    if len(trials.genuine_scores.scores) == trials.genuine:
        genuine_median = float(np.median(trials.genuine_scores.scores))
    impostor_median = _median(counted.edges, counted.impostor)
    strays = _strays(trials, impostor_median) if one_set else None
    return Suspects(
        genuine_median=genuine_median,
        impostor_median=impostor_median,
        alike=_count_above(trials, genuine_median),
        alike_pairs=_alike(trials, genuine_median),
        strays=[] if strays is None else strays[:_LISTED],
        stray_count=None if strays is None else len(strays),
    )


def _count_above(trials: Trials, score: float) -> int:
    """Count impostor scores above a score: exactly if they were kept, else by whole bins."""
    kept = trials.top.scores
    if trials.whole or (len(kept) and kept[-1] <= score):
        return int((kept > score).sum())
    counted: Histogram = trials.histogram
    above = counted.edges[:-1] > score
    return int(counted.impostor[above].sum())


def _alike(trials: Trials, score: float) -> list[tuple[int, int, float]]:
    """Return the highest impostor trial above a score of each pair of people."""
    above = trials.top.take(slice(int((trials.top.scores > score).sum())))
    if trials.dyads is not None:
        first, second = (side.astype(np.int64) for side in trials.people_of(above))
        low, high = np.minimum(first, second), np.maximum(first, second)
        _, at = np.unique(low * (int(high.max(initial=0)) + 1) + high, return_index=True)
        above = above.take(np.sort(at))  # descending: the first of each pair is its highest
    shown = trials.numbered(above.take(slice(_LISTED)))
    return list(zip(shown.a.tolist(), shown.b.tolist(), shown.scores.tolist(), strict=True))


def _strays(trials: Trials, score: float) -> list[tuple[int, float]] | None:
    """Return the images whose best genuine score is not above a score, lowest first."""
    if len(trials.genuine_scores.scores) < trials.genuine:
        return None
    listed: PairScores = trials.numbered(trials.genuine_scores)
    best = np.full(int(max(listed.a.max(), listed.b.max())) + 1, -np.inf)
    for side in (listed.a, listed.b):
        np.maximum.at(best, side, listed.scores)
    found: Ints = np.flatnonzero((best <= score) & (best > -np.inf))
    found = found[np.argsort(best[found], kind="stable")]
    return list(zip(found.tolist(), best[found].tolist(), strict=True))


def _median(edges: np.ndarray, counts: np.ndarray) -> float:
    """Return the lower edge of the bin that holds the median."""
    total = np.cumsum(counts)
    return float(edges[int(np.searchsorted(total, total[-1] / 2))])
