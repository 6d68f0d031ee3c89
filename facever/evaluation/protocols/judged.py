"""The trials of a request."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facever.errors import EvaluationError
from facever.evaluation.columns import people_column
from facever.evaluation.failures import Failures
from facever.evaluation.overlap import Overlap, find_overlap, shared_people
from facever.evaluation.protocols.all_pairs import all_pairs, share_with
from facever.evaluation.protocols.pair_list import ScoredPairs, score_pairs
from facever.evaluation.protocols.request import ALL_PAIRS, Request
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import Trials, most_wanted

_REFUSE_OVERLAP = ("lfw-view1", "lfw-view2")


class Judged(NamedTuple):
    """Trials with their failures and overlap.

    Attributes:
        trials: The trials.
        failures: Failures to acquire, in images and trials.
        overlap: Overlap of their people with the training.
        scored: The scored pairs, if the protocol lists them.
    """

    trials: Trials
    failures: Failures
    overlap: Overlap
    scored: ScoredPairs | None = None


def judged(
    request: Request,
    fars: Sequence[float],
    *,
    share: bool = False,
    precision: str = "auto",
    device: str = "cpu",
) -> Judged:
    """Return the trials of a request, with the scores for thresholds at these FARs.

    Args:
        request: The protocol and its embeddings.
        fars: False accept rates; the scores for their thresholds are kept.
        share: Whether to compute the share of trials with an overlap, for all pairs.
        precision, device: For all pairs; see `choose_engine`.

    Raises:
        EvaluationError: A list is missing or invalid, the trials are of one class, or the protocol
            forbids an overlap.
    """
    if request.name != ALL_PAIRS:
        scored, overlap = listed(request)
        return Judged(scored.trials, scored.failures, overlap, scored)
    sides, exclude = request.sides, request.exclude
    pairs, failures = all_pairs(sides, request.metric, exclude, request.cohort)
    trials = stream(pairs, most_wanted(fars, pairs.impostor), precision, device)
    people = np.concatenate([side.identities[side.acquired] for side in sides])
    known = request.embeddings.trained_on
    shared = shared_people(known, people) if share else None
    found = find_overlap(known, people, share_with(shared, sides, exclude) if shared else None)
    return Judged(trials, failures, found)


def listed(request: Request) -> tuple[ScoredPairs, Overlap]:
    """Return the scored pairs of a list, and their overlap with the training.

    Raises:
        EvaluationError: The list is missing or invalid, or the protocol forbids an overlap.
    """
    pairs = request.read_pairs()
    scored = score_pairs(request.embeddings, pairs, request.metric, request.cohort)
    known, share = request.embeddings.trained_on, None
    shared = shared_people(known, scored.people)
    if shared:
        trained = people_column(request.embeddings.rows["identity"]).isin(shared).to_numpy(bool)
        share = float((trained[scored.a] | trained[scored.b]).mean())
    overlap = find_overlap(known, scored.people, share)
    if overlap and request.name in _REFUSE_OVERLAP and not request.allow_overlap:
        raise EvaluationError(
            f"{request.name} is refused: {overlap}; use --allow-overlap to evaluate it anyway"
        )
    return scored, overlap
