"""Template policies: how a person's templates are made from the vectors of their images.

- `all`: every image.
- `mean`: the mean direction of the images.
- `quality_mean`: the mean weighted by the norm of each image, the length of its embedding before
  normalisation.
- `medoids:K`: at most K images that maximise the similarity of all images to the nearest of them.
"""

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from facever.embeddings.template_policies import ALL, MEAN, QUALITY_MEAN, medoids_of, named_policy
from facever.errors import EvaluationError
from facever.evaluation.pooling import pool_templates
from facever.evaluation.scoring.similarity import Doubles, Floats, Ints

_CANDIDATES = 1024  # images that medoids are chosen among; limits the time for long videos
_TRIED = 1 << 18  # limit for trying every choice of medoids


def make_templates(
    vectors: ArrayLike, people: ArrayLike, policy: str, norms: ArrayLike | None = None
) -> tuple[Ints, Floats]:
    """Make the templates of people from the vectors of their images.

    Args:
        vectors: Float [N, D], unit rows.
        people: Integers [N], the person of each image.
        policy: A policy that `named_policy` accepts.
        norms: Float [N], the lengths before normalisation; NaN or None if unknown. Only
            "quality_mean" needs them.

    Returns:
        int64 [T], the person of each template, ascending, and float32 [T, D], unit rows. With "all"
        or "medoids:K" they are vectors of images, in the given order.

    Raises:
        EvaluationError: The policy is unknown; or, for a mean, images cancel each other, or a norm
            is unknown or not above 0.

    Reference:
        Medoids: Kaufman and Rousseeuw, Finding groups in data, 1990, chapter 2 (PAM); every choice
        is tried if they are few.
    """
    policy = named_policy(policy)
    rows, codes = np.asarray(vectors, np.float32), np.asarray(people, np.int64)
    if policy in (MEAN, QUALITY_MEAN):
        weights = _known(norms, len(rows)) if policy == QUALITY_MEAN else None
        pooled = pool_templates(rows, codes, codes, weights=weights)
        owners = pooled.names.astype(np.int64) if len(rows) else codes
        order = np.argsort(owners)
        lost = owners[~pooled.acquired]
        if len(lost):
            row = int(np.flatnonzero(codes == lost[0])[0])
            raise EvaluationError(
                f"the images of one person cancel each other (the first is image {row}): the "
                "mean has zero length"
            )
        return owners[order], pooled.vectors[order]
    order = np.argsort(codes, kind="stable")
    if policy != ALL:
        most = medoids_of(policy)
        starts = np.flatnonzero(np.diff(codes[order], prepend=codes[order[:1]] - 1))
        chosen = [
            own if len(own) <= most else own[medoids(rows[own], most)]
            for own in np.split(order, starts[1:])
        ]
        order = np.concatenate(chosen)
    return codes[order], rows[order]


def medoids(vectors: Floats, most: int) -> Ints:
    """Return the medoids: rows that maximise the sum of each row's similarity to the nearest.

    Of more than 1,024 rows, 1,024 evenly spaced rows are candidates. The result is ascending.

    Args:
        vectors: float32 [N, D], unit rows, N > `most`.
        most: Number of medoids, 1 or more.
    """
    candidates = np.unique(np.linspace(0, len(vectors) - 1, _CANDIDATES).astype(np.int64))
    near = vectors.astype(np.float64) @ vectors[candidates].astype(np.float64).T
    if math.comb(len(candidates), most) * most * len(vectors) <= _TRIED:
        tried = np.array(list(combinations(range(len(candidates)), most)))
        chosen = tried[int(near[:, tried].max(axis=2).sum(axis=0).argmax())]
    else:
        chosen = np.sort(_swapped(near, _built(near, most)))
    found: Ints = candidates[chosen]
    return found


def _built(near: Doubles, most: int) -> Ints:
    """Choose columns one by one, each time the one with the largest gain."""
    chosen: list[int] = []
    reached = np.full(len(near), -np.inf)
    for _ in range(most):
        gains = np.maximum(near, reached[:, None]).sum(axis=0)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        reached = np.maximum(reached, near[:, chosen[-1]])
    return np.array(chosen)


def _swapped(near: Doubles, chosen: Ints) -> Ints:
    """Exchange chosen columns for others while that increases the sum."""
    total = near[:, chosen].max(axis=1).sum()
    while True:
        best = (total, -1, -1)
        for place in range(len(chosen)):
            others = np.delete(chosen, place)
            kept = near[:, others].max(axis=1, initial=-np.inf)
            totals = np.maximum(near, kept[:, None]).sum(axis=0)
            totals[others] = -np.inf
            column = int(totals.argmax())
            if totals[column] > best[0] * (1 + 1e-12 * np.sign(best[0])):
                best = (float(totals[column]), place, column)
        if best[1] < 0:
            return chosen
        total = best[0]
        chosen = chosen.copy()
        chosen[best[1]] = best[2]


def _known(norms: ArrayLike | None, size: int) -> npt.NDArray[np.float64]:
    """Return the norms as weights."""
    known = np.full(size, np.nan) if norms is None else np.asarray(norms, np.float64)
    wrong = np.flatnonzero(~(np.isfinite(known) & (known > 0)))
    if len(wrong):
        raise EvaluationError(
            f"the norm of image {wrong[0]} is unknown ({len(wrong)} of {size} such): quality_mean "
            "needs the length of each embedding before normalisation"
        )
    return known
