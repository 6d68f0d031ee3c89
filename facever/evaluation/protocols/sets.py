"""Embedding sets as they are judged: rows by condition, comparison, calibration."""

from collections.abc import Sequence

import numpy as np

from facever.errors import EvaluationError, unknown
from facever.evaluation.one_to_one.calibration import CalibrationResult, calibrate
from facever.evaluation.one_to_one.compare import ComparisonResult, compare_trials
from facever.evaluation.one_to_one.measure import most_wanted
from facever.evaluation.one_to_one.verification import DEFAULT_FARS, Sample
from facever.evaluation.scoring.similarity import Floats, Ints, named_similarity
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import check_fars
from facever.vectors.embedding_set import EmbeddingSet


def rows_where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> EmbeddingSet:
    """Return the rows that meet every condition "column=value".

    Raises:
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    return embeddings.select(where(embeddings, conditions)) if conditions else embeddings


def where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> Ints:
    """Return the numbers of the rows that meet every condition "column=value".

    Raises:
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    kept = np.arange(len(embeddings))
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise EvaluationError(f"'{condition}' is no condition of the form column=value")
        check_column(embeddings, column)
        values = embeddings.rows[column].astype(str).to_numpy()[kept]
        if value not in values:
            raise EvaluationError(unknown(f"{column} in the rows", value, set(values)))
        kept = kept[values == value]
    return kept


def check_column(embeddings: EmbeddingSet, column: str) -> None:
    """Refuse a column that the rows do not have."""
    if column not in embeddings.rows:
        raise EvaluationError(unknown("column", column, embeddings.rows.columns))


def sample_of(embeddings: EmbeddingSet, exclude: Sequence[str] = ()) -> Sample:
    """Return an embedding set as a sample of rows to compare.

    Raises:
        EvaluationError: A column that does not exist.
    """
    for column in exclude:
        check_column(embeddings, column)
    return Sample.of(
        embeddings.vectors,
        embeddings.identities,
        embeddings.rows["norm"],
        embeddings.acquired,
        {column: embeddings.rows[column] for column in exclude},
    )


def evaluate_comparison(
    first: EmbeddingSet,
    second: EmbeddingSet,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    level: float = 0.95,
) -> ComparisonResult:
    """Compare two models, each by its own metric, over all pairs of the same images.

    Images that either could not embed are left out for both.

    Raises:
        EvaluationError: The rows of the two are not those of the same images in the same order.
    """
    for column in ("identity", "path"):
        if column not in first.rows or column not in second.rows:
            continue
        one, two = first.rows[column].tolist(), second.rows[column].tolist()
        if one != two:
            raise EvaluationError(
                f"the two embedding sets differ in the column {column}: embed the same manifest "
                "with both models"
            )
    both = first.acquired & second.acquired
    fars = check_fars(far)
    trials = []
    for part in (first.select(both), second.select(both)):
        pairs, _ = sample_of(part).all_pairs(part.meta.metric)
        trials.append(stream(pairs, most_wanted(fars, pairs.impostor)))
    return compare_trials(trials[0], trials[1], fars, level=level)


def evaluate_calibration(
    embeddings: EmbeddingSet, *, method: str = "logistic", similarity: str | None = None
) -> CalibrationResult:
    """Fit and judge a calibration on the images of an embedding set that could be embedded."""
    held = _acquired(embeddings)
    return calibrate(
        held.vectors,
        held.identities,
        method=method,
        similarity=named_similarity(similarity or held.meta.metric),
        norms=held.rows["norm"],
    )


def vectors_for(embeddings: EmbeddingSet, similarity: str) -> Floats:
    """Return the vectors, scaled back by their norms where the similarity is not cosine."""
    if similarity == "cosine":
        return embeddings.vectors
    norms: Floats = embeddings.rows["norm"].to_numpy(embeddings.vectors.dtype)
    return embeddings.vectors * norms[:, None]


def _acquired(embeddings: EmbeddingSet) -> EmbeddingSet:
    return embeddings.select(embeddings.acquired)
