"""Protocols of listed pairs: their trials, and accuracy at thresholds chosen on others.

"cfp-ff" and "cfp-fp" are CFP's ten folds, frontal against frontal and frontal against profile.
"""

from typing import NamedTuple

import numpy as np

from facever.data.pairs import PairList, read_pairs
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column, text_column
from facever.evaluation.one_to_one.accuracy import best_threshold, fold_accuracy, single_accuracy
from facever.evaluation.one_to_one.result import Accuracy
from facever.evaluation.overlap import Overlap, find_overlap, shared_people
from facever.evaluation.protocols.pair_list import ScoredPairs, score_pairs
from facever.evaluation.protocols.request import Request
from facever.evaluation.protocols.sets import sample_of
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials
from facever.vectors.embedding_set import EmbeddingSet

HELD_OUT_IMAGES = 5  # per person: one with 236 images would rule the threshold
_OFFICIAL = {
    "lfw-view1": "protocol/pairsDevTest.txt",
    "lfw-view2": "protocol/pairs.txt",
    "cfp-ff": "Protocol/Split/FF",
    "cfp-fp": "Protocol/Split/FP",
}
_REFUSE_OVERLAP = ("lfw-view1", "lfw-view2")


class Listed(NamedTuple):
    """The scored trials of a list, the accuracy on it, and who was trained on."""

    scored: ScoredPairs
    accuracy: Accuracy | None
    overlap: Overlap


def listed(request: Request, level: float = 0.95, *, accuracy: bool = True) -> Listed:
    """Score the trials of a protocol of listed pairs.

    Args:
        request: The protocol, and on what.
        level: Confidence of the interval of the accuracy.
        accuracy: Whether decisions are judged too; only these need trials to choose thresholds on.

    Raises:
        EvaluationError: A list that is not found or not as it must be, no trials to choose View
            1's threshold on, or an overlap that the protocol forbids.
    """
    scored = _score(request, _list(request))
    overlap = _overlap(request.embeddings, scored)
    if overlap and request.name in _REFUSE_OVERLAP and not request.allow_overlap:
        raise EvaluationError(
            f"{request.name} is refused: {overlap}; --allow-overlap scores it anyway"
        )
    if not accuracy:
        return Listed(scored, None, overlap)
    if request.name == "lfw-view1":
        development, how = _development(request)
        threshold = best_threshold(development)
        single = single_accuracy(scored.scores, scored.same, threshold, how, level, scored.codes)
        return Listed(scored, single, overlap)
    folds = 0 if scored.folds is None else len(np.unique(scored.folds))
    if request.name == "lfw-view2" and scored.folds is None:
        raise EvaluationError("the list has no folds: View 2 needs a list of ten")
    if folds < 2 or scored.folds is None:
        return Listed(scored, None, overlap)
    folded = fold_accuracy(scored.scores, scored.same, scored.folds, level)
    return Listed(scored, folded, overlap)


def _score(request: Request, pairs: PairList) -> ScoredPairs:
    return score_pairs(request.embeddings, pairs, request.metric, request.cohort)


def _list(request: Request) -> PairList:
    """Return the list given, or else the official one."""
    if request.pairs is not None:
        return request.pairs if isinstance(request.pairs, PairList) else read_pairs(request.pairs)
    official = _OFFICIAL[request.name]
    found = request.find(official)
    if found is None:
        raise EvaluationError(
            f"the official list {official} is neither beside the images nor in a data folder: "
            "give --pairs FILE or --data ROOT"
        )
    return read_pairs(found)


def _development(request: Request) -> tuple[Trials, str]:
    """Return the trials on which View 1's threshold is chosen, never the test's, and their name.

    The official `pairsDevTrain.txt` where the embedding set has its people and the model was not
    trained on them, else all pairs of the people held out of its training.
    """
    embeddings = request.embeddings
    official, problem = _official_development(request)
    if official is not None and problem is None:
        known = "" if embeddings.trained_on is not None else ", not knowing the training"
        return _score(request, official).trials, f"threshold chosen on pairsDevTrain{known}"
    held_out = _held_out(embeddings)
    shared = shared_people(embeddings.trained_on, held_out.identities)
    if len(held_out) and (not shared or request.allow_overlap):
        pairs, _ = sample_of(held_out).all_pairs(request.metric, request.cohort)
        return StreamedTrials(pairs, 1), (
            f"threshold chosen on all pairs of {len(set(held_out.identities))} people held out of "
            f"training, at most {HELD_OUT_IMAGES} images each"
        )
    other = "on people of the subset held_out" if shared else "no row is of the subset held_out"
    raise EvaluationError(
        f"no development trials to choose View 1's threshold on: {problem}, and {other}"
    )


def _official_development(request: Request) -> tuple[PairList | None, str | None]:
    """Return LFW's development pairs, and what stands against using them."""
    embeddings = request.embeddings
    found = request.find("protocol/pairsDevTrain.txt")
    if found is None:
        return None, "LFW's pairsDevTrain.txt is not at hand"
    pairs = read_pairs(found)
    sides = (people_column(pairs.frame[name]) for name in ("identity_a", "identity_b"))
    people = {name for side in sides for name in side}
    shared = shared_people(embeddings.trained_on, people)
    if shared:
        return pairs, f"the model was trained on {len(shared)} people of pairsDevTrain.txt"
    if not people <= set(people_column(embeddings.identities)):
        return pairs, "the embedding set lacks people of pairsDevTrain.txt"
    return pairs, None


def _held_out(embeddings: EmbeddingSet) -> EmbeddingSet:
    """Return the first images of everyone in the subset held_out."""
    chosen = np.zeros(len(embeddings), bool)
    if "subset" in embeddings.rows:
        people = people_column(embeddings.identities)
        first = people.groupby(people).cumcount() < HELD_OUT_IMAGES
        held_out = text_column(embeddings.rows["subset"]) == "held_out"
        chosen = (held_out & first).to_numpy(bool)
    return embeddings.select(chosen)


def _overlap(embeddings: EmbeddingSet, scored: ScoredPairs) -> Overlap:
    shared = shared_people(embeddings.trained_on, scored.people)
    share = None
    if shared:
        people = people_column(embeddings.identities).to_numpy().astype(str)
        touched = np.isin(people[scored.a], shared) | np.isin(people[scored.b], shared)
        share = float(touched.mean())
    return find_overlap(embeddings.trained_on, scored.people, share)
