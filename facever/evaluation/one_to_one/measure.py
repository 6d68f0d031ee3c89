"""From trials to rates: the one place where a verification result is counted."""

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
_STEPS = 20  # thresholds on either side that the interval of a TAR looks at


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
    """Count everything that a verification result holds.

    Args:
        trials: Genuine and impostor trials.
        fars: The false accept rates at which TAR is wanted.
        protocol: The name of the protocol that made the trials.
        similarity: What the scores are; None for those of another system.
        level: Confidence of the intervals.
        intervals: False takes trials for independent, which is faster and too narrow.
        detail: Also measure along the curve, and look for wrong names.
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
    """Return a warning of scores that tell two people from one the wrong way round, or None.

    Args:
        auc: Of the scores.
        foreign: Whether another system made them, so that they may be distances.
    """
    if auc >= 0.5:
        return None
    mend = (
        "if the scores are distances (smaller is more alike), give --distances (in Python "
        "distances=True); otherwise check the labels"
        if foreign
        else "check the identities of the rows"
    )
    return f"AUC {auc:.4g} is below 0.5: pairs of two people score above pairs of one; {mend}"


def _along(fars: Sequence[float]) -> list[float]:
    """Return FARs from the smallest to the largest, so many a decade."""
    if len(fars) < 2:
        return list(fars)
    low, high = min(fars), max(fars)
    steps = max(2, round(_A_DECADE * math.log10(high / low)) + 1)
    inner = np.geomspace(low, high, steps)[1:-1].tolist()
    return sorted({low, high, *inner})


def _asked_later(
    trials: Trials, largest: float, level: float, intervals: bool, far: float
) -> MeasuredPoint | Refused:
    """Count one more operating point, as it would have been had it been asked for at once."""
    check_fars([far])
    if far > largest and not trials.whole:
        raise EvaluationError(
            f"FAR {far:g} is above the largest that was asked for, {largest:g}, and the scores "
            "that it needs were not kept: name it among the FARs"
        )
    return _point(trials, far, level, intervals)


def _point(trials: Trials, far: float, level: float, intervals: bool) -> MeasuredPoint | Refused:
    """Count one operating point, or refuse it for want of impostor trials."""
    if budget(far, trials.impostor) < 1:
        return Refused(far, needed(far))
    return _at(trials, far, level, intervals)


def _at(trials: Trials, far: float, level: float, intervals: bool) -> MeasuredPoint:
    """Count one operating point that the trials support."""
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
    """Return what the interval of TAR at a FAR, whose threshold is itself estimated, needs.

    Each draw of people moves the threshold by what the draw does to the FMR, scaled so that it
    varies as much as the dyadic variance says.
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
