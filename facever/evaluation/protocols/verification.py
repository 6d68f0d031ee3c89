"""Verification of an embedding set by a protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.one_to_one.verification import DEFAULT_FARS, Sample, measure_all_pairs
from facever.evaluation.overlap import Overlap, find_overlap, shared_people
from facever.evaluation.protocols.listed import listed
from facever.evaluation.protocols.lookup import kind_of, templates_of
from facever.evaluation.protocols.request import ALL_PAIRS, Request
from facever.evaluation.protocols.sets import check_column, sample_of
from facever.evaluation.protocols.two_sets import check_comparable, images_in_both, joint_name
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.trials import check_fars
from facever.vectors.embedding_set import EmbeddingSet


def evaluate_verification(
    embeddings: EmbeddingSet,
    *,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    far: Sequence[float] = DEFAULT_FARS,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    groups: Sequence[str] = (),
    cohort: Cohort | None = None,
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
    detail: bool = False,
    against: EmbeddingSet | None = None,
    group_far: float | None = None,
    device: str = "cpu",
) -> VerificationResult:
    """Measure verification by a protocol.

    Args:
        embeddings: The vectors, with whom they show; of images, or of templates (`template_set`).
        protocol: As for `Request`, like all that is not described here.
        pairs: See `Request`.
        far: The false accept rates at which TAR is wanted.
        similarity: See `Request`.
        exclude: See `Request`.
        groups: Columns of the rows; FMR and FNMR by their values, at one threshold (all-pairs).
        cohort: See `Request`.
        allow_overlap: See `Request`.
        data: See `Request`.
        level: Confidence of the intervals.
        detail: Also measure intervals along the curve, and look for suspected wrong names.
        against: A gallery, by the same model, that the embeddings are probes for (all-pairs): only
            pairs of one row of each are trials. It needs the columns of `exclude` and `groups`.
        group_far: The FAR of the threshold of `groups`; by default the smallest supported.
        device: "cpu", "cuda" or "auto", where all pairs are compared.

    Raises:
        EvaluationError: An unknown protocol, similarity or column, trials that cannot be made, or
            an overlap that the protocol forbids.
    """
    request = Request(embeddings, protocol, pairs, similarity, exclude, cohort, allow_overlap, data)
    fars = check_fars(far)
    if group_far is not None and not groups:
        raise EvaluationError("a FAR for groups needs columns to group by")
    if request.name == ALL_PAIRS:
        sides = [embeddings] if against is None else [embeddings, against]
        samples, columns = _rows_of(sides, exclude, groups)
        result = measure_all_pairs(
            samples[0],
            fars,
            request.metric,
            columns[0],
            against=samples[1] if against is not None else None,
            against_groups=columns[-1],
            group_far=group_far,
            cohort=cohort,
            level=level,
            detail=detail,
            device=device,
        )
        result = replace(result, overlap=_overlap_of_all_pairs(embeddings, samples))
    elif groups or against is not None:
        wrong = "groups" if groups else "second set"
        raise EvaluationError(f"the protocol {request.name} takes no {wrong}")
    else:
        result = _listed(request, fars, level, detail)
    warnings = list(result.warnings)
    if request.metric != embeddings.meta.metric:
        warnings.append(
            f"scores are {request.metric}, but the model was trained to be compared by "
            f"{embeddings.meta.metric}"
        )
    if result.overlap:
        warnings.append(str(result.overlap))
    dataset = embeddings.meta.dataset
    if against is not None:
        dataset, same = (
            joint_name(embeddings, against),
            images_in_both(embeddings, against, exclude),
        )
        warnings += [same] if same else []
    return replace(
        result,
        dataset=dataset,
        fingerprint=embeddings.meta.fingerprint,
        kind=kind_of(embeddings),
        templates=templates_of(embeddings),
        normalisation=None if cohort is None else str(cohort),
        warnings=warnings,
    )


def _rows_of(
    sides: Sequence[EmbeddingSet], exclude: Sequence[str], groups: Sequence[str]
) -> tuple[list[Sample], list[dict[str, "pd.Series[Any]"]]]:
    """Return the rows of one set or of two, and their columns to group by."""
    if len(sides) > 1:
        check_comparable(*sides)
    for side in sides:
        for column in groups:
            check_column(side, column)
    samples = [sample_of(side, exclude) for side in sides]
    return samples, [{column: side.rows[column] for column in groups} for side in sides]


def _listed(request: Request, fars: list[float], level: float, detail: bool) -> VerificationResult:
    scored, accuracy, overlap = listed(request, level)
    result = measure(
        scored.trials,
        fars,
        protocol=request.name,
        similarity=request.metric,
        level=level,
        detail=detail,
    )
    if scored.repeated:
        result.warnings.append(
            f"{scored.repeated} pairs stand in the list of {request.name} twice; all are counted"
        )
    return replace(result, overlap=overlap, failures=scored.failures, accuracy=accuracy)


def _overlap_of_all_pairs(embeddings: EmbeddingSet, samples: Sequence[Sample]) -> Overlap:
    people = np.concatenate([sample.people[sample.acquired] for sample in samples])
    shared = shared_people(embeddings.trained_on, people)
    share = samples[0].share_with(shared, *samples[1:]) if shared else None
    return find_overlap(embeddings.trained_on, people, share)
