"""From trials to rates: the one place where a verification result is counted."""

from collections.abc import Sequence

from facever.evaluation.intervals import TOO_NARROW, clopper_pearson
from facever.evaluation.operating_point import TrialCounts
from facever.evaluation.pairwise import PairScores
from facever.evaluation.result import MeasuredPoint, Refused, VerificationResult
from facever.evaluation.roc import Roc
from facever.evaluation.similarity import Similarity
from facever.evaluation.trials import Trials, budget, needed

_SHOWN = 50


def measure(
    trials: Trials,
    fars: Sequence[float],
    *,
    protocol: str,
    similarity: Similarity = "cosine",
    level: float = 0.95,
) -> VerificationResult:
    """Count everything that a verification result holds.

    Args:
        trials: Genuine and impostor trials.
        fars: The false accept rates at which TAR is wanted.
        protocol: The name of the protocol that made the trials.
        similarity: What the scores are.
        level: Confidence of the intervals.
    """
    counts = TrialCounts(genuine=trials.genuine, impostor=trials.impostor)
    points, refused = [], []
    for far in fars:
        allowed = budget(far, trials.impostor)
        if allowed < 1:
            refused.append(Refused(far, needed(far)))
            continue
        threshold = trials.threshold(allowed)
        false_accepts = trials.false_accepts(threshold)
        true_accepts = trials.true_accepts(threshold)
        points.append(
            MeasuredPoint(
                far_target=far,
                threshold=threshold,
                false_accepts=false_accepts,
                true_accepts=true_accepts,
                trials=counts,
                interval=clopper_pearson(true_accepts, trials.genuine, level, TOO_NARROW),
                far_interval=clopper_pearson(false_accepts, trials.impostor, level, TOO_NARROW),
            )
        )
    roc = Roc(trials)
    return VerificationResult(
        protocol=protocol,
        similarity=similarity,
        trials=counts,
        auc=roc.auc(),
        eer=roc.eer(),
        eer_hull=roc.eer_hull(),
        operating_points=points,
        refused=refused,
        curve=roc.curve(),
        histogram=trials.histogram.thinned(),
        worst_impostors=_listed(trials.top),
        worst_genuine=_listed(trials.genuine_scores),
    )


def most_wanted(fars: Sequence[float], impostor: int) -> int:
    """Return how many of the highest impostor scores the FARs need."""
    return max(_SHOWN, *(budget(far, impostor) + 1 for far in fars))


def _listed(pairs: PairScores) -> list[tuple[int, int, float]]:
    first = pairs.take(slice(_SHOWN))
    return list(zip(first.a.tolist(), first.b.tolist(), first.scores.tolist(), strict=True))
