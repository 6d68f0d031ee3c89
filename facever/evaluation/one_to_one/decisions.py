"""Accuracy on listed pairs, at thresholds that the protocol chooses on other pairs."""

import numpy as np

from facever.data.pairs import PairList, read_pairs
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.one_to_one.accuracy import best_threshold, fold_accuracy, single_accuracy
from facever.evaluation.one_to_one.counts import Accuracy
from facever.evaluation.overlap import shared_people
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.protocols.pair_list import ScoredPairs, score_pairs
from facever.evaluation.protocols.request import Request
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials

HELD_OUT_IMAGES = 5  # per person: a person with 236 images would dominate the threshold


def accuracy_of(request: Request, scored: ScoredPairs, level: float = 0.95) -> Accuracy | None:
    """Return the accuracy on a list; None if it has fewer than two folds.

    Args:
        request: The protocol and its embeddings.
        scored: The scored pairs.
        level: Confidence level of the interval.

    Raises:
        EvaluationError: There are no trials for the threshold of View 1, or View 2 has no folds.
    """
    if request.name == "lfw-view1":
        development, how = _development(request)
        threshold = best_threshold(development)
        return single_accuracy(scored.scores, scored.same, threshold, how, level, scored.codes)
    if request.name == "lfw-view2" and scored.folds is None:
        raise EvaluationError("the list has no folds: View 2 needs a list with ten folds")
    if scored.folds is None or len(np.unique(scored.folds)) < 2:
        return None
    return fold_accuracy(scored.scores, scored.same, scored.folds, level)


def _development(request: Request) -> tuple[Trials, str]:
    """Return the development trials for the threshold of View 1, and their description.

    They are the official `pairsDevTrain.txt` if the embedding set has its people and the model was
    not trained on them, else all pairs of the people that were held out of the training.
    """
    embeddings = request.embeddings
    official, problem = _official_development(request)
    if official is not None and problem is None:
        known = "" if embeddings.trained_on is not None else " (training data unknown)"
        trials = score_pairs(embeddings, official, request.metric, request.cohort).trials
        return trials, f"threshold chosen on pairsDevTrain{known}"
    held_out = _held_out(embeddings)
    shared = shared_people(embeddings.trained_on, held_out.identities)
    if len(held_out) and (not shared or request.allow_overlap):
        pairs, _ = all_pairs([held_out], request.metric, cohort=request.cohort)
        return StreamedTrials(pairs, 1), (
            f"threshold chosen on all pairs of {len(set(held_out.identities))} people held out of "
            f"training, at most {HELD_OUT_IMAGES} images each"
        )
    other = "on people of the subset held_out" if shared else "no row is of the subset held_out"
    raise EvaluationError(
        f"no development trials to choose View 1's threshold on: {problem}, and {other}"
    )


def _official_development(request: Request) -> tuple[PairList | None, str | None]:
    """Return LFW's development pairs, and the reason if they cannot be used."""
    embeddings = request.embeddings
    found = request.find("protocol/pairsDevTrain.txt")
    if found is None:
        return None, "LFW's pairsDevTrain.txt was not found"
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
    """Return the first images of each person in the subset held_out."""
    chosen = np.zeros(len(embeddings), bool)
    if "subset" in embeddings.rows:
        people = people_column(embeddings.identities)
        first = people.groupby(people).cumcount() < HELD_OUT_IMAGES
        held_out = comparable_column(embeddings.rows["subset"]) == "held_out"
        chosen = (held_out & first).to_numpy(bool)
    return embeddings.select(chosen)
