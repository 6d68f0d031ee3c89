"""The trials of a protocol, for whatever is counted on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facever.evaluation.one_to_one.measure import most_wanted
from facever.evaluation.one_to_one.result import Accuracy, Failures
from facever.evaluation.overlap import Overlap, find_overlap
from facever.evaluation.protocols.listed import listed
from facever.evaluation.protocols.pair_list import ScoredPairs
from facever.evaluation.protocols.request import ALL_PAIRS, Request
from facever.evaluation.protocols.sets import sample_of
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import Trials


class Judged(NamedTuple):
    """Trials with what is known of them.

    Attributes:
        trials: The trials.
        failures: Images and trials that failed to be acquired.
        overlap: Whom of them the model was trained on.
        scored: The pairs, where the protocol lists them.
        accuracy: Of decisions, where the protocol has thresholds chosen on other trials.
    """

    trials: Trials
    failures: Failures
    overlap: Overlap
    scored: ScoredPairs | None = None
    accuracy: Accuracy | None = None


def judged(
    request: Request, fars: Sequence[float], level: float = 0.95, *, accuracy: bool = True
) -> Judged:
    """Return the trials of a request, ready for thresholds at these FARs.

    Args:
        request: The protocol, and on what.
        fars: The false accept rates whose scores are kept at hand.
        level: Confidence of the interval of the accuracy.
        accuracy: Whether decisions are judged too, where the protocol has a way to.

    Raises:
        EvaluationError: What the protocol raises.
    """
    if request.name != ALL_PAIRS:
        scored, found, overlap = listed(request, level, accuracy=accuracy)
        return Judged(scored.trials, scored.failures, overlap, scored, found)
    sample = sample_of(request.embeddings, request.exclude)
    pairs, failures = sample.all_pairs(request.metric, request.cohort)
    people = np.unique(sample.people[sample.acquired])
    overlap = find_overlap(request.embeddings.trained_on, people, None)
    return Judged(stream(pairs, most_wanted(fars, pairs.impostor)), failures, overlap)
