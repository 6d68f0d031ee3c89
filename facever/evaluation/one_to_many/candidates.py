"""Search results from lists of candidates, such as those of an approximate index."""

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.scoring.similarity import Ints


def searched_from_lists(
    scores: ArrayLike, rows: ArrayLike, people: list[Ints], *, distances: bool = False
) -> Searched:
    """Return search results from candidate lists; the best template gives a person's score.

    Args:
        scores: [P, k], larger is more similar. For use with a gallery's threshold, give exact
            scores (`pair_cosines`), not those of an index.
        rows: Integer [P, k], rows of the gallery; -1 after the end of a list.
        people: int64 [P] and [G], people of the probes and gallery rows, with common numbers.
        distances: Whether `scores` are distances (smaller is more similar); they are negated.

    Raises:
        EvaluationError: Shapes do not match, a score is not finite, or a row is not in the
            gallery.
    """
    values, at = np.asarray(scores, np.float32), np.asarray(rows, np.int64)
    values = -values if distances else values
    size, gallery = len(people[0]), people[1]
    if values.ndim != 2 or values.shape != at.shape or len(values) != size:
        raise EvaluationError(
            f"candidates of shapes {values.shape} and {at.shape} for {size} probes: scores and "
            "rows must both be [P, k]"
        )
    held = at >= 0
    if at.size and (at.min() < -1 or at.max() >= len(gallery)):
        wrong = at.min() if at.min() < -1 else at.max()
        raise EvaluationError(f"candidate row {wrong} is not in the gallery of {len(gallery)} rows")
    if not np.isfinite(values[held]).all():
        raise EvaluationError("a candidate's score is not finite")
    values = np.where(held, values, -np.inf).astype(np.float32)
    who = np.where(held, gallery[at], -1)
    mates = who == people[0][:, None]
    mate = np.where(mates, values, -np.inf).max(axis=1, initial=-np.inf).astype(np.float32)
    ahead = held & ~mates & (values >= mate[:, None])
    last = int(gallery.max(initial=0)) + 1
    probe, _ = np.nonzero(ahead)
    others = np.unique(probe * last + who[ahead]) // last  # each person once, by probe
    count = len(np.unique(gallery))
    rank = 1 + np.bincount(others, minlength=size)
    return Searched(
        best=values.max(axis=1, initial=-np.inf).astype(np.float32),
        mate=mate,
        rank=np.where(np.isfinite(mate), rank, count + 1).astype(np.int64),
        mated=np.isin(people[0], gallery),
        codes=people[0],
        people=count,
    )


def recall(found: ArrayLike, true: ArrayLike) -> float:
    """Return the share of the true candidates [P, k] that were found, in any order."""
    have, want = np.asarray(found, np.int64), np.asarray(true, np.int64)
    last = max(have.max(initial=0), want.max(initial=0)) + 1
    keys = [(np.arange(len(side))[:, None] * last + side)[side >= 0] for side in (have, want)]
    return float(np.isin(keys[1], keys[0]).mean())
