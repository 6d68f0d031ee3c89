"""Embedding sets as they are judged: rows by condition, their vectors and people."""

from collections.abc import Sequence

import numpy as np

from facever.errors import EvaluationError, unknown
from facever.evaluation.columns import people_column, text_column
from facever.evaluation.one_to_one.verification import Sample
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.similarity import Floats, Ints
from facever.text import canonical
from facever.vectors.embedding_set import EmbeddingSet

_COHORT_TOP = 200


def rows_where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> EmbeddingSet:
    """Return the rows that meet the conditions; see `where`.

    Raises:
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    return embeddings.select(where(embeddings, conditions)) if conditions else embeddings


def where(embeddings: EmbeddingSet, conditions: Sequence[str]) -> Ints:
    """Return the numbers of the rows that meet conditions "column=value".

    Values of one column are alternatives; of several columns each must be met. Both sides are
    compared as text: 1, 1.0 and "1" are one value.

    Raises:
        EvaluationError: Not of that form, a column that does not exist, or no rows left.
    """
    kept = np.arange(len(embeddings))
    for column, wanted in _wanted(conditions).items():
        check_column(embeddings, column)
        made = people_column if column == "identity" else text_column
        values = made(embeddings.rows[column]).iloc[kept]
        there = set(values.dropna())
        for value in wanted:
            if value not in there:
                raise EvaluationError(unknown(f"{column} in the rows", value, there))
        kept = kept[values.isin(wanted).to_numpy()]
    return kept


def _wanted(conditions: Sequence[str]) -> dict[str, list[str]]:
    """Return the values that are wanted of each column."""
    found: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise EvaluationError(f"'{condition}' is no condition of the form column=value")
        wanted = canonical(value) if column == "identity" else value
        found.setdefault(column, []).append(wanted)
    return found


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


def cohort_of(
    embeddings: EmbeddingSet, judged: EmbeddingSet, method: str = "as", top: int | None = None
) -> Cohort:
    """Return an embedding set as a cohort by which the scores of another are normalised.

    Args:
        embeddings: Other people, by the same model; what could not be embedded is left out.
        judged: What is to be judged.
        method: "s" for S-norm, "as" for adaptive S-norm.
        top: Of adaptive S-norm; by default 200.

    Raises:
        EvaluationError: Sets of two models, an unknown method, a `top` with S-norm, and what
            `Cohort` raises.
    """
    if embeddings.meta.fingerprint != judged.meta.fingerprint:
        raise EvaluationError(
            f"the cohort is of another model ({embeddings.meta.fingerprint[:12]}) than the "
            f"embeddings ({judged.meta.fingerprint[:12]}): embed both with one"
        )
    if method not in ("s", "as"):
        raise EvaluationError(unknown("score normalisation", method, ("s", "as")))
    if method == "s" and top is not None:
        raise EvaluationError("S-norm takes the whole cohort: a top belongs to adaptive S-norm")
    held = embeddings.select(embeddings.acquired)
    chosen = (_COHORT_TOP if top is None else top) if method == "as" else None
    return Cohort.of(held.vectors, held.identities, norms=held.rows["norm"], top=chosen)


def vectors_for(embeddings: EmbeddingSet, similarity: str) -> Floats:
    """Return the vectors, scaled back by their norms where the similarity is not cosine."""
    if similarity == "cosine":
        return embeddings.vectors
    norms: Floats = embeddings.rows["norm"].to_numpy(embeddings.vectors.dtype)
    return embeddings.vectors * norms[:, None]
