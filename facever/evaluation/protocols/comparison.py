"""Two embedding sets of the same images, compared on the trials of a protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.columns import people_column, text_column
from facever.evaluation.one_to_many.compared import RetrievalComparison, compare_retrieval
from facever.evaluation.one_to_one.compare import (
    ComparedAccuracy,
    ComparisonResult,
    compare_accuracies,
    compare_trials,
)
from facever.evaluation.one_to_one.verification import DEFAULT_FARS
from facever.evaluation.protocols.judged import Judged, judged
from facever.evaluation.protocols.ranked import evaluate_retrieval
from facever.evaluation.protocols.request import Request
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.trials import check_fars
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_comparison(
    first: EmbeddingSet,
    second: EmbeddingSet,
    *,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    exclude: Sequence[str] = (),
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
) -> ComparisonResult:
    """Compare two models, each by its own metric, on the same trials.

    Images that either could not embed are left out for both, and counted.

    Args:
        first, second: Of the same rows in the same order.
        protocol: As for `Request`, like all that is not described here.
        pairs: See `Request`.
        far: The false accept rates at which TAR is compared.
        exclude: See `Request`.
        allow_overlap: See `Request`.
        data: See `Request`.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: The rows of the two are not those of the same images in the same order,
            and what the protocol raises.
    """
    _check_same_rows(first, second)
    fars = check_fars(far)
    held = first.acquired & second.acquired
    sides = []
    warnings = []
    for name, embeddings in (("first", first), ("second", second)):
        request = Request(
            _only(embeddings, held),
            protocol,
            pairs,
            exclude=exclude,
            allow_overlap=allow_overlap,
            data=data,
        )
        sides.append(judged(request, fars, level))
        if sides[-1].overlap:
            warnings.append(f"{name}: {sides[-1].overlap}")
    found = compare_trials(sides[0].trials, sides[1].trials, fars, level=level)
    return replace(
        found,
        accuracy=_accuracies(sides[0], sides[1], level),
        protocol=request.name,
        failures=sides[0].failures,
        warnings=warnings,
    )


def evaluate_retrieval_comparison(
    first: EmbeddingSet,
    second: EmbeddingSet,
    queries: str | Sequence[str] = "subset=query",
    gallery: str | Sequence[str] = "subset=gallery",
    *,
    camera: str | None = None,
    level: float = 0.95,
) -> RetrievalComparison:
    """Compare the rankings of two models, each by its own metric, over the same queries.

    Images that either could not embed are left out for both, and counted.

    Args:
        first, second: Of the same rows in the same order.
        queries, gallery, camera: As for `evaluate_retrieval`.
        level: Confidence of the intervals.

    Raises:
        EvaluationError: The rows of the two are not those of the same images in the same order,
            and what `evaluate_retrieval` raises.
    """
    _check_same_rows(first, second)
    held = first.acquired & second.acquired
    one, two = (
        evaluate_retrieval(_only(embeddings, held), queries, gallery, camera=camera)
        for embeddings in (first, second)
    )
    warnings = [f"first: {text}" for text in one.warnings]
    warnings += [f"second: {text}" for text in two.warnings]
    return replace(compare_retrieval(one, two, level=level), warnings=warnings)


def _check_same_rows(first: EmbeddingSet, second: EmbeddingSet) -> None:
    mend = "embed the same manifest with both models"
    if len(first) != len(second):
        raise EvaluationError(
            f"the two embedding sets have {len(first)} and {len(second)} rows: {mend}"
        )
    for column in ("identity", "path", "template"):
        if column not in first.rows or column not in second.rows:
            continue
        made = people_column if column == "identity" else text_column
        if not made(first.rows[column]).equals(made(second.rows[column])):
            raise EvaluationError(f"the two embedding sets differ in the column {column}: {mend}")


def _only(embeddings: EmbeddingSet, held: Bools) -> EmbeddingSet:
    """Return the set with every other row marked as failed."""
    errors = embeddings.rows["error"].astype("string")
    lost = errors.isna() & ~held
    marked = errors.mask(lost, "the other model could not embed it")
    return replace(embeddings, rows=embeddings.rows.assign(error=marked))


def _accuracies(first: Judged, second: Judged, level: float) -> ComparedAccuracy | None:
    one, two = first.scored, second.scored
    if one is None or two is None or first.accuracy is None or second.accuracy is None:
        return None
    decisions = []
    for scored, accuracy in ((one, first.accuracy), (two, second.accuracy)):
        thresholds = np.array(accuracy.thresholds)
        if len(thresholds) > 1:  # one for each fold, in their order
            assert scored.folds is not None
            thresholds = thresholds[np.unique(scored.folds, return_inverse=True)[1]]
        decisions.append((scored.scores > thresholds) == scored.same)
    folds = one.folds if len(first.accuracy.thresholds) > 1 else None
    both = decisions[0], decisions[1]
    return compare_accuracies(first.accuracy, second.accuracy, both, one.codes, folds, level)
