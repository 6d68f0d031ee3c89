"""Score normalisation: S-norm and adaptive S-norm against a cohort of other people.

s' = [(s - mean_a) / sd_a + (s - mean_b) / sd_b] / 2, where mean and sd are those of the scores of
one side of the pair with the cohort: with all of it (S-norm), or with the images of it that are
most similar to that side (adaptive S-norm). With r = 1 / sd this is s (r_a + r_b) / 2 minus a term
of a and one of b: again a product of two rows, of twice the width. So normalised scores are
streamed like other products, exactly and without a matrix of all pairs.

Reference:
    Kenny, Bayesian speaker verification with heavy-tailed priors, Odyssey 2010 (S-norm); Matějka et
    al., Analysis of score normalization in multilingual speaker recognition, Interspeech 2017
    (adaptive S-norm, there AS-norm 1). Division by the number of scores in sd is our choice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.columns import Names, people_column, required
from facever.evaluation.scoring.similarity import Doubles, Floats, Scorer, make_scorer

_TILE = 1 << 22  # scores with the cohort computed at a time


@dataclass(frozen=True)
class Cohort:
    """People outside the trials for score normalisation.

    Attributes:
        vectors: float32 [K, D].
        people: str [K], their identities.
        norms: float32 [K], lengths before normalisation, or None.
        top: Number of highest scores with the cohort that are used (adaptive S-norm); None: all.
    """

    vectors: Floats
    people: Names
    norms: Floats | None = None
    top: int | None = None

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        identities: ArrayLike,
        *,
        norms: ArrayLike | None = None,
        top: int | None = None,
    ) -> Self:
        """Check arrays and return them as a cohort.

        Args:
            vectors: [K, D], of the model whose scores are normalised.
            identities: [K], the identity of each row.
            norms: [K], lengths before normalisation, for "euclidean" and "dot".
            top: 2 to K for adaptive S-norm; None for S-norm.

        Raises:
            EvaluationError: The vectors are not a matrix of two rows or more, lengths differ,
                values are NaN, or `top` is out of range.
        """
        rows, people = np.asarray(vectors, np.float32), people_column(identities)
        lengths = None if norms is None else np.asarray(norms, np.float32)
        if rows.ndim != 2 or len(rows) < 2:
            raise EvaluationError(
                f"a cohort must be a matrix [K, D] with K > 1, not of shape {rows.shape}"
            )
        if len(people) != len(rows) or (lengths is not None and len(lengths) != len(rows)):
            raise EvaluationError(
                f"a cohort needs an identity (and a norm) for each of its {len(rows)} rows"
            )
        if not np.isfinite(rows.sum()):
            raise EvaluationError("the cohort contains NaN or infinity")
        if top is not None and not 2 <= top <= len(rows):
            raise EvaluationError(f"top {top} of a cohort of {len(rows)}: give 2 to {len(rows)}")
        return cls(rows, required(people, len(rows), "identities"), lengths, top)

    def __str__(self) -> str:
        size = f"{len(self.vectors):,} images of {len(np.unique(self.people)):,} other people"
        if self.top is None:
            return f"S-norm over {size}"
        return f"adaptive S-norm over the top {self.top:,} of {size}"

    def check(self, people: Iterable[str]) -> None:
        """Raise if the cohort shares people with the trials.

        Raises:
            EvaluationError: People are shared; the message has their number and the first name.
        """
        shared = sorted(set(self.people.tolist()) & set(people_column(list(people))))
        if shared:
            raise EvaluationError(
                f"the cohort shares {len(shared)} people with the trials, first {shared[0]}: "
                "use a cohort of other people"
            )

    def normalise(
        self, scorer: Scorer, vectors: Floats, similarity: str, norms: Floats | None = None
    ) -> Scorer:
        """Return the scorer of normalised scores of a set with itself.

        Args:
            scorer: Scorer of the set, made by `make_scorer` from the other arguments.
            vectors: float32 [N, D].
            similarity: "cosine", "euclidean" or "dot".
            norms: float32 [N], or None.

        Raises:
            EvaluationError: Widths differ, rows are not of unit length, or a row has the same score
                with the whole cohort.
        """
        between = make_scorer(vectors, similarity, norms, self.vectors, self.norms)
        means, deviations = self._statistics(between)
        flat = np.flatnonzero(deviations <= between.error)
        if len(flat):
            raise EvaluationError(
                f"row {flat[0]} has the same score with the whole cohort (or its top): use a "
                "cohort "
                "of different images"
            )
        return normalised(scorer, means, deviations)

    def _statistics(self, between: Scorer) -> tuple[Doubles, Doubles]:
        """Return mean and standard deviation of each row's scores with the cohort."""
        people = len(between.right)
        means, deviations = np.empty(len(between.left)), np.empty(len(between.left))
        step = max(1, _TILE // people)
        for start in range(0, len(means), step):
            part = slice(start, start + step)
            scores = between.left[part] @ between.right.T
            if self.top is not None:
                scores = np.partition(scores, people - self.top, axis=1)[:, people - self.top :]
            means[part] = scores.mean(axis=1, dtype=np.float64)
            deviations[part] = scores.std(axis=1, dtype=np.float64)
        return means, deviations


def normalised(scorer: Scorer, means: Doubles, deviations: Doubles) -> Scorer:
    """Return the scorer of normalised scores.

    The term of each side is stored as a float32 and its remainder.

    Args:
        scorer: Scorer of a set with itself; row i is the same on both sides.
        means, deviations: float64 [N], of each row's scores with the cohort.
    """
    rates = 1 / deviations
    terms = means * rates
    high = terms.astype(np.float32)
    rest = (terms - high).astype(np.float32)
    one = np.ones_like(high)
    rate = rates.astype(np.float32)[:, None]
    left, right = scorer.left, scorer.right
    half = np.float32(0.5)
    wide_left: Floats = half * np.column_stack([left * rate, left, -high, -rest, -one, -one])
    wide_right = np.column_stack([right, right * rate, one, one, high, rest])
    scale = max(abs(scorer.low), abs(scorer.high))
    reach = float((rates * (scale + np.abs(means))).max())
    error = 1.01 * (wide_left.shape[1] + 1) * 2.0**-24 * reach
    return Scorer(wide_left, wide_right, -reach - 2 * error, reach + 2 * error, error)
