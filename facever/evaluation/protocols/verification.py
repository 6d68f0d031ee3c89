"""Protocols: which trials an embedding set is judged by, and on what thresholds are chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facever.data.pairs import PairList, read_pairs
from facever.data.sources import data_roots
from facever.errors import EvaluationError, unknown
from facever.evaluation.one_to_one.accuracy import best_threshold, fold_accuracy, single_accuracy
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.verification import DEFAULT_FARS, Sample, measure_all_pairs
from facever.evaluation.overlap import Overlap, find_overlap, shared_people
from facever.evaluation.protocols.pair_list import ScoredPairs, score_pairs
from facever.evaluation.protocols.sets import check_column, sample_of
from facever.evaluation.scoring.pairwise import Bools, count_trials
from facever.evaluation.scoring.similarity import Similarity, named_similarity
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials, check_fars
from facever.vectors.embedding_set import EmbeddingSet

HELD_OUT_IMAGES = 5  # per person: one with 236 images would rule the threshold


@dataclass(frozen=True)
class Request:
    """What is to be measured on an embedding set."""

    embeddings: EmbeddingSet
    similarity: Similarity
    fars: list[float]
    pairs: PairList | Path | None
    exclude: Sequence[str]
    groups: Sequence[str]
    allow_overlap: bool
    data: Path | None
    level: float


def evaluate_verification(
    embeddings: EmbeddingSet,
    *,
    protocol: str | None = None,
    pairs: PairList | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    groups: Sequence[str] = (),
    allow_overlap: bool = False,
    data: Path | None = None,
    level: float = 0.95,
) -> VerificationResult:
    """Measure verification by a protocol.

    Args:
        embeddings: The vectors, with whom they show.
        protocol: One of `PROTOCOLS`; by default "pairs" where a list is given, else "all-pairs".
        pairs: A pair list or its file; for the LFW protocols in place of the official list.
        far: The false accept rates at which TAR is wanted.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        exclude: Columns of the rows; a pair that agrees in any of them is no trial (all-pairs).
        groups: Columns of the rows; FMR and FNMR by their values, at one threshold (all-pairs).
        allow_overlap: Score LFW's lists although the model was trained on their people.
        data: Where LFW's lists are looked for when they are not beside the images.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: An unknown protocol, similarity or column, trials that cannot be made, or
            an overlap that the protocol forbids.
    """
    name = protocol or ("all-pairs" if pairs is None else "pairs")
    if name not in PROTOCOLS:
        raise EvaluationError(unknown("protocol", name, PROTOCOLS))
    own = embeddings.meta.metric
    chosen = named_similarity(similarity or own)
    request = Request(
        embeddings=embeddings,
        similarity=chosen,
        fars=check_fars(far),
        pairs=pairs,
        exclude=exclude,
        groups=groups,
        allow_overlap=allow_overlap,
        data=data,
        level=level,
    )
    if name != "all-pairs" and (exclude or groups):
        raise EvaluationError(f"the protocol {name} takes neither columns to exclude nor groups")
    for column in groups:
        check_column(embeddings, column)
    result = PROTOCOLS[name](request)
    warnings = list(result.warnings)
    if chosen != own:
        warnings.append(f"scores are {chosen}, but the model was trained to be compared by {own}")
    if result.overlap:
        warnings.append(str(result.overlap))
    return replace(
        result,
        dataset=embeddings.meta.dataset,
        fingerprint=embeddings.meta.fingerprint,
        warnings=warnings,
    )


def _all_pairs(request: Request) -> VerificationResult:
    if request.pairs is not None:
        raise EvaluationError("all-pairs takes no pair list: leave --pairs or the protocol away")
    embeddings = request.embeddings
    sample = sample_of(embeddings, request.exclude)
    groups = {column: embeddings.rows[column] for column in request.groups}
    result = measure_all_pairs(
        sample, request.fars, request.similarity, groups, level=request.level
    )
    return replace(result, overlap=_overlap_of_all_pairs(embeddings, sample))


def _pairs(request: Request) -> VerificationResult:
    if request.pairs is None:
        raise EvaluationError("the protocol pairs needs a pair list: --pairs FILE")
    scored = score_pairs(request.embeddings, _read(request.pairs), request.similarity)
    result = _measure_list(request, scored, "pairs")
    if scored.folds is None or len(np.unique(scored.folds)) < 2:
        return result
    accuracy = fold_accuracy(scored.scores, scored.same, scored.folds)
    return replace(result, accuracy=accuracy)


def _lfw_view2(request: Request) -> VerificationResult:
    pairs = _list(request, "pairs.txt")
    scored = score_pairs(request.embeddings, pairs, request.similarity)
    result = _measure_list(request, scored, "lfw-view2", refuse_overlap=True)
    if scored.folds is None:
        raise EvaluationError(f"{pairs.name} has no folds: View 2 needs a list of ten")
    accuracy = fold_accuracy(scored.scores, scored.same, scored.folds)
    return replace(result, accuracy=accuracy)


def _lfw_view1(request: Request) -> VerificationResult:
    scored = score_pairs(request.embeddings, _list(request, "pairsDevTest.txt"), request.similarity)
    result = _measure_list(request, scored, "lfw-view1", refuse_overlap=True)
    development, how = _development(request)
    threshold = best_threshold(development)
    accuracy = single_accuracy(scored.scores, scored.same, threshold, how, request.level)
    return replace(result, accuracy=accuracy)


PROTOCOLS: dict[str, Callable[[Request], VerificationResult]] = {
    "all-pairs": _all_pairs,
    "pairs": _pairs,
    "lfw-view1": _lfw_view1,
    "lfw-view2": _lfw_view2,
}


def _development(request: Request) -> tuple[Trials, str]:
    """Return the trials on which View 1's threshold is chosen, never the test's, and their name.

    The official `pairsDevTrain.txt` where the embedding set has its people and the model was not
    trained on them, else all pairs of the people held out of its training.
    """
    embeddings = request.embeddings
    official, problem = _official_development(request)
    if official is not None and problem is None:
        known = "" if embeddings.trained_on is not None else ", not knowing the training"
        scored = score_pairs(embeddings, official, request.similarity)
        return scored.trials, f"threshold chosen on pairsDevTrain{known}"
    held_out = _held_out(embeddings)
    shared = shared_people(embeddings.trained_on, held_out.identities)
    if len(held_out) and (not shared or request.allow_overlap):
        pairs, _ = sample_of(held_out).all_pairs(request.similarity)
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
    if _find_list(request, "pairsDevTrain.txt") is None:
        return None, "LFW's pairsDevTrain.txt is not at hand"
    pairs = _list(request, "pairsDevTrain.txt", official=True)
    people = {*pairs.frame["identity_a"], *pairs.frame["identity_b"]}
    shared = shared_people(embeddings.trained_on, people)
    if shared:
        return pairs, f"the model was trained on {len(shared)} people of pairsDevTrain.txt"
    if not people <= set(embeddings.identities):
        return pairs, "the embedding set lacks people of pairsDevTrain.txt"
    return pairs, None


def _held_out(embeddings: EmbeddingSet) -> EmbeddingSet:
    """Return the first images of everyone in the subset held_out."""
    chosen = np.zeros(len(embeddings), bool)
    if "subset" in embeddings.rows:
        first = embeddings.rows.groupby("identity").cumcount() < HELD_OUT_IMAGES
        chosen = ((embeddings.rows["subset"] == "held_out") & first).to_numpy(bool)
    return embeddings.select(chosen)


def _measure_list(
    request: Request, scored: ScoredPairs, protocol: str, *, refuse_overlap: bool = False
) -> VerificationResult:
    embeddings = request.embeddings
    shared = shared_people(embeddings.trained_on, scored.people)
    share = None
    if shared:
        people = embeddings.identities
        touched = np.isin(people[scored.a], shared) | np.isin(people[scored.b], shared)
        share = float(touched.mean())
    overlap = find_overlap(embeddings.trained_on, scored.people, share)
    if overlap and refuse_overlap and not request.allow_overlap:
        raise EvaluationError(f"{protocol} is refused: {overlap}; --allow-overlap scores it anyway")
    result = measure(
        scored.trials,
        request.fars,
        protocol=protocol,
        similarity=request.similarity,
        level=request.level,
    )
    return replace(result, overlap=overlap, failures=scored.failures)


def _overlap_of_all_pairs(embeddings: EmbeddingSet, sample: Sample) -> Overlap:
    people = sample.people[sample.acquired]
    shared = shared_people(embeddings.trained_on, people)
    share = None
    if shared:
        codes = np.unique(people, return_inverse=True)[1].astype(np.int64)
        excluded = sample.excluded[sample.acquired]
        clean: Bools = ~np.isin(people, shared)
        untouched = sum(count_trials(codes[clean], excluded[clean]))
        share = 1 - untouched / sum(count_trials(codes, excluded))
    return find_overlap(embeddings.trained_on, people, share)


def _read(pairs: PairList | Path) -> PairList:
    return pairs if isinstance(pairs, PairList) else read_pairs(pairs)


def _list(request: Request, name: str, *, official: bool = False) -> PairList:
    """Return the list given, or else LFW's official one of that name."""
    if request.pairs is not None and not official:
        return _read(request.pairs)
    found = _find_list(request, name)
    if found is None:
        raise EvaluationError(
            f"LFW's list {name} is neither beside the images nor in a data folder: "
            "give --pairs FILE or --data ROOT"
        )
    return read_pairs(found)


def _find_list(request: Request, name: str) -> Path | None:
    folders = [request.pairs.parent] if isinstance(request.pairs, Path) else []
    if request.embeddings.root is not None:
        folders.append(Path(request.embeddings.root) / "protocol")
    for root in data_roots(request.data):
        folders += [root / "protocol", root / "lfw" / "protocol"]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
