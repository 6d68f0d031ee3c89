"""Verification (1:1) over all pairs of embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.one_to_one.groups import rates_by_group
from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.one_to_one.result import Failures, VerificationResult
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.pairwise import AllPairs, Bools, count_trials, exclusion_codes
from facever.evaluation.scoring.similarity import Floats, Ints, Similarity, make_scorer
from facever.evaluation.scoring.streaming import stream
from facever.evaluation.scoring.trials import check_fars

DEFAULT_FARS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Sample:
    """Checked rows that are to be compared.

    Attributes:
        vectors: float32 [N, D].
        people: str [N].
        norms: float32 [N], lengths before normalising, or None.
        acquired: Bool [N], False where there is no vector.
        excluded: int64 [N, C], codes of the columns whose equality excludes a pair.
    """

    vectors: Floats
    people: npt.NDArray[np.str_]
    norms: Floats | None
    acquired: Bools
    excluded: Ints

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        identities: ArrayLike,
        norms: ArrayLike | None = None,
        acquired: ArrayLike | None = None,
        exclude: Mapping[str, ArrayLike] | None = None,
    ) -> Self:
        """Check arrays and return them as a sample.

        Raises:
            EvaluationError: Not a matrix, lengths that differ, a missing identity, or NaN.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or not rows.shape[1]:
            raise EvaluationError(f"vectors must be a matrix [N, D], not of shape {rows.shape}")
        people = pd.Series(np.asarray(identities).ravel())
        if people.isna().any():
            raise EvaluationError(f"identity {int(people.isna().argmax())} is missing")
        columns = {name: pd.Series(np.asarray(column)) for name, column in (exclude or {}).items()}
        held = np.ones(len(rows), bool) if acquired is None else np.asarray(acquired, bool)
        lengths = None if norms is None else np.asarray(norms, np.float32)
        given = {"identities": people, "acquired": held, "norms": lengths, **columns}
        for name, column in given.items():
            if column is not None and len(column) != len(rows):
                raise EvaluationError(f"{len(column)} {name} for {len(rows)} vectors")
        finite = np.isfinite(rows.sum(axis=1)) | ~held
        if not finite.all():
            raise EvaluationError(
                f"vector {int(np.argmin(finite))} holds NaN or infinity "
                f"({int((~finite).sum())} such vectors): mark failed images by acquired=False"
            )
        codes = exclusion_codes(list(columns.values()), len(rows))
        return cls(rows, people.to_numpy().astype(str), lengths, held, codes)

    def rows(self, which: Bools) -> Self:
        """Return the rows of a mask [N]."""
        norms = None if self.norms is None else self.norms[which]
        parts = self.vectors[which], self.people[which], norms
        return type(self)(*parts, self.acquired[which], self.excluded[which])

    def all_pairs(self, similarity: str, cohort: Cohort | None = None) -> tuple[AllPairs, Failures]:
        """Return every pair of acquired rows, and what failures to acquire cost.

        Raises:
            EvaluationError: A cohort that shares people with the rows.
        """
        codes = pd.factorize(self.people)[0].astype(np.int64)
        where = np.flatnonzero(self.acquired)
        every = len(where) == len(self.vectors)
        vectors = self.vectors if every else self.vectors[where]
        norms = self.norms if every or self.norms is None else self.norms[where]
        scorer = make_scorer(vectors, similarity, norms)
        if cohort is not None:
            cohort.check(self.people)
            scorer = cohort.normalise(scorer, vectors, similarity, norms)
        pairs = AllPairs(
            scorer,
            codes[where],
            excluded=self.excluded[where],
            numbers=where,
        )
        genuine, impostor = count_trials(codes, self.excluded)
        return pairs, Failures(
            images=len(self.vectors),
            failed=len(self.vectors) - len(where),
            genuine=genuine - pairs.genuine,
            impostor=impostor - pairs.impostor,
        )


def verification(
    vectors: ArrayLike,
    identities: ArrayLike,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: Similarity = "cosine",
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Mapping[str, ArrayLike] | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    cohort: Cohort | None = None,
    level: float = 0.95,
    precision: str = "auto",
    device: str = "cpu",
) -> VerificationResult:
    """Compare every row with every other and measure verification.

    Needs no model and no index; memory does not grow with the number of pairs.

    Args:
        vectors: [N, D], unit rows for "cosine".
        identities: [N], whom each row shows.
        far: The false accept rates at which TAR is wanted.
        similarity: "cosine", "euclidean" (minus the squared distance) or "dot".
        norms: [N], lengths before normalising, to scale rows back for "euclidean" and "dot".
        acquired: Bool [N], False where the image could not be embedded; such rows count as
            failures to acquire.
        exclude: Columns [N] by name; a pair that agrees in any of them is no trial (same image,
            same camera, same capture). Missing values agree with nothing.
        groups: Columns [N] by name; FMR and FNMR within and across their values are counted at
            the threshold of the smallest FAR that the trials support.
        cohort: Other people, to normalise the scores by; such scores make no operating point.
        level: Confidence of the intervals.
        precision: Of the screening; the answer is the same. See `choose_engine`.
        device: "cpu", "cuda" or "auto" (a GPU where there is one); the answer is the same.

    Raises:
        EvaluationError: Shapes that do not fit, NaN, rows that are not unit, one class of trials,
            or a cohort that shares people with the rows.

    Example:
        >>> rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> result = verification(rows, ["Ada", "Ada", "Ben", "Ben"], far=[0.25])
        >>> result.trials.genuine, result.trials.impostor, result.at(0.25).tar
        (2, 4, 1.0)
    """
    sample = Sample.of(vectors, identities, norms, acquired, exclude)
    columns = {name: pd.Series(np.asarray(column)) for name, column in (groups or {}).items()}
    return measure_all_pairs(
        sample,
        far,
        similarity,
        columns,
        cohort=cohort,
        level=level,
        precision=precision,
        device=device,
    )


def measure_all_pairs(
    sample: Sample,
    far: Sequence[float],
    similarity: Similarity,
    groups: Mapping[str, "pd.Series[Any]"] | None = None,
    *,
    cohort: Cohort | None = None,
    level: float = 0.95,
    precision: str = "auto",
    device: str = "cpu",
) -> VerificationResult:
    """Measure verification over all pairs of a sample."""
    fars = check_fars(far)
    pairs, failures = sample.all_pairs(similarity, cohort)
    trials = stream(pairs, most_wanted(fars, pairs.impostor), precision, device)
    result = measure(trials, fars, protocol="all-pairs", similarity=similarity, level=level)
    found = {}
    for name, column in (groups or {}).items():
        if len(column) != len(sample.vectors):
            raise EvaluationError(f"{len(column)} {name} for {len(sample.vectors)} vectors")
        if not result.operating_points:
            raise EvaluationError("groups need a FAR that the trials support")
        threshold = result.operating_points[-1].threshold
        found[name] = rates_by_group(trials, column.rename(name), threshold, level)
    normalisation = None if cohort is None else str(cohort)
    return replace(result, failures=failures, groups=found, normalisation=normalisation)
