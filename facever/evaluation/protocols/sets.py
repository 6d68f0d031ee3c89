"""Embedding sets as they are judged: rows by condition, their vectors and people."""

from collections.abc import Sequence

import numpy as np

from facever.errors import EvaluationError, unknown
from facever.evaluation.one_to_one.verification import Sample
from facever.evaluation.scoring.similarity import Floats, Ints
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


def vectors_for(embeddings: EmbeddingSet, similarity: str) -> Floats:
    """Return the vectors, scaled back by their norms where the similarity is not cosine."""
    if similarity == "cosine":
        return embeddings.vectors
    norms: Floats = embeddings.rows["norm"].to_numpy(embeddings.vectors.dtype)
    return embeddings.vectors * norms[:, None]
