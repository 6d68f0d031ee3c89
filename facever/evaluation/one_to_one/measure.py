"""Measure a verification result from trials."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from facever.embeddings.similarities import Similarity
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.counts import MeasuredPoint, Refused
from facever.evaluation.one_to_one.suspects import find_suspects
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.scoring.pairwise import PairScores
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials, budget, check_fars, needed
from facever.evaluation.statistics.curve_intervals import curve_intervals
from facever.evaluation.statistics.intervals import (
    TOO_NARROW,
    DyadicRate,
    Moving,
    clopper_pearson,
    dyadic_rate,
    fmr_interval,
    tar_interval,
)
from facever.evaluation.statistics.roc import Roc
from facever.operating_point import TrialCounts

_SHOWN = 50
_A_DECADE = 4  # points of a band
_STEPS = 20  # thresholds on either side for the interval of a TAR


def measure(
    trials: Trials,
    fars: Sequence[float],
    *,
    protocol: str,
    similarity: Similarity | None = "cosine",
    level: float = 0.95,
    intervals: bool = True,
    detail: bool = False,
) -> VerificationResult:
    """Measure all figures of a verification result.

    Args:
        trials: Genuine and impostor trials.
        fars: False accept rates at which TAR is measured.
        protocol: Name of the protocol of the trials.
        similarity: Kind of score; None for scores of another system.
        level: Confidence level of the intervals.
        intervals: If False, assume independent trials; this is faster, but too narrow.
        detail: Also measure along the curve and find suspected wrong labels.
    """
    counts = TrialCounts(genuine=trials.genuine, impostor=trials.impostor)
    found = [_point(trials, far, level, intervals) for far in fars]
    points = [point for point in found if isinstance(point, MeasuredPoint)]
    along = _along([point.far_target for point in points]) if detail else []
    one_set = not isinstance(trials, StreamedTrials) or trials.pairs.one_set
    roc = Roc(trials)
    turned = wrong_way_round(roc.auc().value, foreign=similarity is None)
    auc_interval, eer_interval = curve_intervals(trials, roc, level) if intervals else (None, None)
    return VerificationResult(
        protocol=protocol,
        similarity=similarity,
        trials=counts,
        auc=roc.auc(),
        auc_interval=auc_interval,
        eer=roc.eer(),
        eer_interval=eer_interval,
        eer_hull=roc.eer_hull(),
        operating_points=points,
        refused=[point for point in found if isinstance(point, Refused)],
        curve=roc.curve(),
        histogram=trials.histogram.thinned(),
        worst_impostors=_listed(trials, trials.top),
        worst_genuine=_listed(trials, trials.genuine_scores),
        band=[_at(trials, far, level, intervals) for far in along],
        suspects=find_suspects(trials, one_set=one_set) if detail else None,
        warnings=[] if turned is None else [turned],
        measure_at=partial(_asked_later, trials, max(fars), level, intervals),
    )


def wrong_way_round(auc: float, *, foreign: bool) -> str | None:
    """Return a warning if impostor pairs score above genuine pairs; else None.

    Args:
        auc: AUC of the scores.
        foreign: Whether the scores are of another system, and may be distances.
    """
    if auc >= 0.5:
        return None
    mend = (
        "if the scores are distances (smaller is more similar), give --distances (in Python "
        "distances=True); otherwise check the labels"
        if foreign
        else "check the identities of the rows"
    )
    return f"AUC {auc:.4g} is below 0.5: impostor pairs score above genuine pairs; {mend}"


def _along(fars: Sequence[float]) -> list[float]:
    """Return FARs from the smallest to the largest, evenly spaced on a logarithmic scale."""
    if len(fars) < 2:
        return list(fars)
    low, high = min(fars), max(fars)
    steps = max(2, round(_A_DECADE * math.log10(high / low)) + 1)
    inner = np.geomspace(low, high, steps)[1:-1].tolist()
    return sorted({low, high, *inner})


def _asked_later(
    trials: Trials, largest: float, level: float, intervals: bool, far: float
) -> MeasuredPoint | Refused:
    """Measure one more operating point, with the same result as a request from the start."""
    check_fars([far])
    if far > largest and not trials.whole:
        raise EvaluationError(
            f"FAR {far:g} is above the largest requested FAR, {largest:g}, and the scores that "
            "it needs were not kept: add it to the FARs"
        )
    return _point(trials, far, level, intervals)


def _point(trials: Trials, far: float, level: float, intervals: bool) -> MeasuredPoint | Refused:
    """Measure one operating point, or refuse it if there are too few impostor trials."""
    if budget(far, trials.impostor) < 1:
        return Refused(far, needed(far))
    return _at(trials, far, level, intervals)


def _at(trials: Trials, far: float, level: float, intervals: bool) -> MeasuredPoint:
    """Measure one operating point that the trials support."""
    allowed = budget(far, trials.impostor)
    threshold = trials.cut(allowed)
    false_accepts, true_accepts = trials.false_accepts(threshold), trials.true_accepts(threshold)
    if trials.dyads is None or not intervals:
        tar = clopper_pearson(true_accepts, trials.genuine, level, TOO_NARROW)
        fmr = clopper_pearson(false_accepts, trials.impostor, level, TOO_NARROW)
    else:
        found = dyadic_rate(trials.error_sums(threshold), trials.dyads)
        fmr = fmr_interval(found, level)
        tar = tar_interval(_moving(trials, threshold, allowed, found), level)
    return MeasuredPoint(
        far_target=far,
        threshold=threshold,
        false_accepts=false_accepts,
        true_accepts=true_accepts,
        trials=TrialCounts(genuine=trials.genuine, impostor=trials.impostor),
        interval=tar,
        far_interval=fmr,
    )


def moving_threshold(trials: Trials, far: float) -> Moving:
    """Return the data for the interval of TAR at a FAR with an estimated threshold.

    Each draw of people moves the threshold according to the change of the FMR, scaled to the dyadic
    variance.
    """
    assert trials.dyads is not None
    allowed = budget(far, trials.impostor)
    threshold = trials.threshold(allowed)
    found = dyadic_rate(trials.error_sums(threshold), trials.dyads)
    return _moving(trials, threshold, allowed, found)


def _moving(trials: Trials, threshold: float, allowed: int, found: DyadicRate) -> Moving:
    length = float(np.linalg.norm(found.per_person)) / found.trials
    if not found.errors or not length:
        accepted, genuine = trials.accepted_by_person(np.array([threshold]))
        return Moving.fixed(accepted[:, 0], genuine)
    spread = np.sqrt(found.variance) / found.rate
    ranks = allowed * np.exp(np.linspace(-4, 4, 2 * _STEPS + 1) * spread)
    highest = max(allowed, len(trials.top) - 1)
    ranks = np.unique(np.append(np.clip(ranks.round(), 1, highest), allowed).astype(np.int64))
    thresholds = np.array([trials.threshold(rank) for rank in ranks[::-1]])
    accepted, genuine = trials.accepted_by_person(thresholds)
    return Moving(
        accepted[:, ::-1],
        genuine,
        steps=np.log(ranks / allowed),
        linear=found.per_person / found.trials / length * spread,
    )


def _listed(trials: Trials, pairs: PairScores) -> list[tuple[int, int, float]]:
    first = trials.numbered(pairs.take(slice(_SHOWN)))
    return list(zip(first.a.tolist(), first.b.tolist(), first.scores.tolist(), strict=True))
