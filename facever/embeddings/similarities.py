"""Similarities of two embeddings by name."""

from typing import Literal, get_args

from facever.errors import EvaluationError, unknown

Similarity = Literal["cosine", "euclidean", "dot"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


def named_similarity(name: str) -> Similarity:
    """Return a similarity by its name.

    Raises:
        EvaluationError: There is no such similarity.
    """
    for similarity in SIMILARITIES:
        if similarity == name:
            return similarity
    raise EvaluationError(unknown("similarity", name, SIMILARITIES))
