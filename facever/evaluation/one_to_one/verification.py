"""Verification (1:1) over all pairs of embeddings, of one set or of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from facever.errors import EvaluationError
from facever.evaluation.columns import text_column
from facever.evaluation.one_to_one.groups import rates_by_group
from facever.evaluation.one_to_one.measure import measure, most_wanted
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.sample import Sample as Sample
from facever.evaluation.one_to_one.sample import check_length
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.similarity import Similarity
from facever.evaluation.scoring.streaming import StreamedTrials, stream
from facever.evaluation.scoring.trials import check_fars

DEFAULT_FARS = (1e-2, 1e-3, 1e-4)
Columns = Mapping[str, "pd.Series[Any]"]


@dataclass(frozen=True)
class Against:
    """A second set of rows, such as a gallery, that the rows of the first are compared with.

    Args:
        vectors: [M, D], of the same model as the first set's.
        identities: [M], named as in the first set.
        norms, acquired: As for `verification`.
        exclude, groups: Columns [M] of the same names as the first set's.
    """

    vectors: ArrayLike
    identities: ArrayLike
    norms: ArrayLike | None = None
    acquired: ArrayLike | None = None
    exclude: Mapping[str, ArrayLike] | None = None
    groups: Mapping[str, ArrayLike] | None = None


def verification(
    vectors: ArrayLike,
    identities: ArrayLike,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    against: Against | None = None,
    similarity: Similarity = "cosine",
    norms: ArrayLike | None = None,
    acquired: ArrayLike | None = None,
    exclude: Mapping[str, ArrayLike] | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    group_far: float | None = None,
    cohort: Cohort | None = None,
    level: float = 0.95,
    detail: bool = False,
    precision: str = "auto",
    device: str = "cpu",
) -> VerificationResult:
    """Compare every row with every other, or with every row of a second set.

    Needs no model and no index; memory does not grow with the number of pairs.

    Args:
        vectors: [N, D], unit rows for "cosine".
        identities: [N], whom each row shows.
        far: The false accept rates at which TAR is wanted.
        against: The gallery where the rows are probes: only pairs of one row of each are trials.
        similarity: "cosine", "euclidean" (minus the squared distance) or "dot".
        norms: [N], lengths before normalising, to scale rows back for "euclidean" and "dot".
        acquired: Bool [N], False where the image could not be embedded; such rows count as
            failures to acquire.
        exclude: Columns [N] by name; a pair that agrees in any of them is no trial (same image,
            same camera, same capture). Missing values agree with nothing.
        groups: Columns [N] by name; FMR and FNMR within and across their values are counted at
            one threshold for all.
        group_far: The FAR of that threshold; by default the smallest that the trials support.
        cohort: Other people, to normalise the scores by; such scores make no operating point.
        level: Confidence of the intervals.
        detail: Also measure intervals along the curve, and look for suspected wrong names.
        precision: Of the screening; the answer is the same. See `choose_engine`.
        device: "cpu", "cuda" or "auto" (a GPU where there is one); the answer is the same.

    Raises:
        EvaluationError: Shapes that do not fit, NaN, rows that are not unit, one class of trials,
            a cohort that shares people with the rows, or a device that is not there.

    Example:
        >>> rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> result = verification(rows, ["Ada", "Ada", "Ben", "Ben"], far=[0.25])
        >>> result.trials.genuine, result.trials.impostor, result.at(0.25).tar
        (2, 4, 1.0)
    """
    sample, other, other_columns = (
        Sample.of(vectors, identities, norms, acquired, exclude),
        None,
        None,
    )
    if against is not None:
        other = Sample.of(
            against.vectors, against.identities, against.norms, against.acquired, against.exclude
        )
        other_columns = _as_columns(against.groups)
    return measure_all_pairs(
        sample,
        far,
        similarity,
        _as_columns(groups),
        against=other,
        against_groups=other_columns,
        group_far=group_far,
        cohort=cohort,
        level=level,
        detail=detail,
        precision=precision,
        device=device,
    )


def measure_all_pairs(
    sample: Sample,
    far: Sequence[float],
    similarity: Similarity,
    groups: Columns | None = None,
    *,
    against: Sample | None = None,
    against_groups: Columns | None = None,
    group_far: float | None = None,
    cohort: Cohort | None = None,
    level: float = 0.95,
    detail: bool = False,
    precision: str = "auto",
    device: str = "cpu",
) -> VerificationResult:
    """Measure verification over all pairs of a sample, or of two; see `verification`."""
    fars = check_fars(far if group_far is None else [*far, group_far])
    pairs, failures = sample.all_pairs(similarity, cohort, against)
    trials = stream(pairs, most_wanted(fars, pairs.impostor), precision, device)
    protocol = "all-pairs" if against is None else "probe-gallery"
    result = measure(
        trials, fars, protocol=protocol, similarity=similarity, level=level, detail=detail
    )
    result = replace(
        result,
        failures=failures,
        normalisation=None if cohort is None else str(cohort),
    )
    if not groups:
        return result
    sides = [(sample, groups)]
    if against is not None:
        sides.append((against, against_groups or {}))
    return _with_groups(trials, result, sides, group_far)


def _with_groups(
    trials: StreamedTrials,
    result: VerificationResult,
    sides: Sequence[tuple[Sample, Columns]],
    group_far: float | None,
) -> VerificationResult:
    """Count the rates by the columns of one or two sets."""
    if not result.operating_points:
        raise EvaluationError("groups need a FAR that the trials support")
    point = result.operating_points[-1] if group_far is None else result.at(group_far)
    found = {}
    for name in sides[0][1]:
        columns = []
        for sample, given in sides:
            if name not in given:
                raise EvaluationError(f"the second set has no column '{name}' to group by")
            check_length(len(given[name]), name, len(sample.vectors))
            columns.append(given[name].rename(name))
        found[name] = rates_by_group(trials, columns, point.threshold, point.interval.level)
    return replace(result, groups=found, groups_at=point)


def _as_columns(given: Mapping[str, ArrayLike] | None) -> dict[str, "pd.Series[Any]"]:
    return {name: text_column(column) for name, column in (given or {}).items()}
