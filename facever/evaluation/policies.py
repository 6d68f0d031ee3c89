"""Template policies: what a gallery compares a person by, made of the vectors of their images.

- `all`: every image.
- `mean`: the mean direction of the images.
- `quality_mean`: the same with each image weighted by its norm, the length of its embedding before
  it was normalised.
- `medoids:K`: the images, at most K, to the nearest of which the others are most alike.
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

_CANDIDATES = 1024  # images that medoids are chosen among; keeps a long video affordable
_TRIED = 1 << 18  # numbers looked at when every choice of medoids is tried


def make_templates(
    vectors: ArrayLike, people: ArrayLike, policy: str, norms: ArrayLike | None = None
) -> tuple[Ints, Floats]:
    """Make the templates of people out of the vectors of their images.

    Args:
        vectors: Float [N, D], unit rows.
        people: Integers [N], whose image each is.
        policy: What `named_policy` knows.
        norms: Float [N], the lengths before normalising; NaN or None where not known. Only
            "quality_mean" needs them.

    Returns:
        int64 [T], whose template each is, ascending, and float32 [T, D], unit rows. With "all" or
        "medoids:K" they are the images' own vectors, in the order given.

    Raises:
        EvaluationError: An unknown policy; for a mean, images that cancel each other, or a norm
            that is not known or not above 0.

    Reference:
        Medoids: Kaufman and Rousseeuw, Finding groups in data, 1990, chapter 2 (PAM); every choice
        is tried where they are few.
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
                f"the images of one person cancel each other (the first is image {row}): they "
                "have no mean"
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
    """Return the rows, ascending, to the nearest of which all rows are most alike in sum.

    Among more than 1,024 rows, they are chosen from 1,024 that are spread evenly over them.

    Args:
        vectors: float32 [N, D], unit rows, N > `most`.
        most: How many rows, 1 or more.
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
    """Choose columns one after the other, each the one that helps most."""
    chosen: list[int] = []
    reached = np.full(len(near), -np.inf)
    for _ in range(most):
        gains = np.maximum(near, reached[:, None]).sum(axis=0)
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
        reached = np.maximum(reached, near[:, chosen[-1]])
    return np.array(chosen)


def _swapped(near: Doubles, chosen: Ints) -> Ints:
    """Exchange one chosen column for another for as long as that helps."""
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
            f"the norm of image {wrong[0]} is not known ({len(wrong)} of {size} such): "
            "quality_mean weighs images by the length of their embedding before it was normalised"
        )
    return known
