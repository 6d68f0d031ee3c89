"""Templates of a gallery's people by its policy."""

from collections.abc import Sequence

import numpy as np

from facever.embeddings.template_policies import ALL, named_policy
from facever.errors import EvaluationError, GalleryError
from facever.evaluation.policies import make_templates
from facever.gallery.records import Keys, Vectors

__all__ = ["ALL", "checked_policy", "templates_of"]


def checked_policy(policy: str) -> str:
    """Return a template policy's name: "all", "mean", "quality_mean" or "medoids:K".

    Raises:
        GalleryError: There is no such policy.
    """
    try:
        return named_policy(policy)
    except EvaluationError as error:
        raise GalleryError(str(error)) from error


def templates_of(
    policy: str, owners: Keys, vectors: Vectors, norms: Sequence[float | None]
) -> tuple[Keys, Vectors]:
    """Compute people's templates from all of their images.

    Args:
        policy: The gallery's template policy.
        owners: People's keys, int64 [N].
        vectors: float32 [N, D], unit rows.
        norms: [N], lengths before normalisation, or None if unknown.

    Returns:
        Keys int64 [T], ascending, and templates float32 [T, D], unit rows.

    Raises:
        GalleryError: The mean of the policy does not exist for these images.
    """
    known = np.array([np.nan if norm is None else norm for norm in norms], np.float64)
    try:
        return make_templates(vectors, owners, policy, known)
    except EvaluationError as error:
        raise GalleryError(str(error)) from error
