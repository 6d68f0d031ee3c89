"""Verification (1:1) on all pairs of one or two sets of embeddings, or on those of a protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from numpy.typing import ArrayLike

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluation.defaults import DEFAULT_FARS
from facever.evaluation.inputs import (
    Embeddings,
    as_set,
    check_column,
    images_of,
    kind_of,
    templates_of,
)
from facever.evaluation.one_to_one.decisions import accuracy_of
from facever.evaluation.one_to_one.groups import rates_by_group
from facever.evaluation.one_to_one.measure import measure
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.protocols.judged import judged
from facever.evaluation.protocols.request import ALL_PAIRS, Request
from facever.evaluation.protocols.templates import templates_for
from facever.evaluation.scoring.normalisation import Cohort
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.trials import Trials, check_fars
from facever.evaluation.two_sets import images_in_both, joint_name


def verification(
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    far: Sequence[float] = DEFAULT_FARS,
    protocol: str | None = None,
    pairs: PairList | str | Path | None = None,
    against: Embeddings | None = None,
    similarity: str | None = None,
    exclude: Sequence[str] = (),
    groups: Sequence[str] = (),
    group_far: float | None = None,
    cohort: Cohort | None = None,
    allow_overlap: bool = False,
    data: str | Path | None = None,
    level: float = 0.95,
    detail: bool = False,
    fingerprint: str | None = None,
    dataset: str = "",
    trained_on: pd.DataFrame | None = None,
    precision: str = "auto",
    device: str = "cpu",
) -> VerificationResult:
    """Measure verification: error rates of thresholds on scores of pairs of images or templates.

    Memory use does not grow with the number of pairs.

    Args:
        embeddings: An EmbeddingSet (of images, or of templates: `template_set`), a mapping of
            columns with `vectors` and `identity`, or vectors [N, D] with `identities`.
        identities: [N], the identity of each vector.
        far: False accept rates at which TAR is measured.
        protocol: "all-pairs", "pairs", "lfw-view1", "lfw-view2", "cfp-ff" or "cfp-fp"; by default
            "pairs" if a list is given, else "all-pairs".
        pairs: A pair list or its file; for the protocols of LFW and CFP it replaces the official
            list. For a list of templates, as IJB's, images are pooled by their column `template`.
            A list has its own labels, so an EmbeddingSet may lack identities; the intervals then
            assume independent trials.
        against: A second set (gallery) by the same model: trials are the pairs of a row of
            `embeddings` and a row of `against`. Plain arrays: a mapping or (vectors, identities).
        similarity: "cosine", "euclidean" (minus the squared distance) or "dot"; by default the
            metric of the model's head, "cosine" for plain vectors.
        exclude: Columns of the rows; pairs with equal values in any of them are not trials (same
            image, same camera, same capture). A missing value equals no other value.
        groups: Columns of the rows; FMR and FNMR are counted within and across their values, at
            one threshold.
        group_far: The FAR of that threshold; by default the smallest that the trials support.
        cohort: Embeddings of other people for score normalisation; normalised scores give no
            operating point.
        allow_overlap: Evaluate LFW's lists even if the model was trained on their people.
        data: Folder with the official lists, if they are not next to the images.
        level: Confidence level of the intervals.
        detail: Also measure intervals along the curve and find suspected wrong labels.
        fingerprint: Fingerprint of the model, such as `model.fingerprint`, if the embeddings do
            not record it. A gallery accepts operating points of its own model only.
        dataset: Name of the data set, if the embeddings do not record it.
        trained_on: Columns `identity` and `dataset` of the people that the model was trained on,
            if the embeddings do not record them.
        precision: Precision of the screening; it does not change the result. See
            `choose_engine`.
        device: "cpu", "cuda" or "auto" (a GPU if there is one); it does not change the result.

    Raises:
        EvaluationError: Shapes do not match, values are NaN, a protocol, similarity or column is
            unknown, the trials are of one class, the cohort shares people with the rows, the sets
            are of different models, the protocol forbids an overlap with the training, or the
            device is not available.

    Example:
        >>> rows = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]]
        >>> result = verification(rows, ["Ada", "Ada", "Ben", "Ben"], far=[0.25])
        >>> result.trials.genuine, result.trials.impostor, result.at(0.25).tar
        (2, 4, 1.0)
    """
    rows = as_set(
        embeddings,
        identities,
        similarity=similarity,
        fingerprint=fingerprint,
        dataset=dataset,
        trained_on=trained_on,
        unnamed=pairs is not None and protocol in (None, "pairs"),
    )
    rows = templates_for(rows, pairs)
    gallery = None
    if against is not None:
        gallery = as_set(against, similarity=similarity, fingerprint=fingerprint)
    request = Request(
        rows, protocol, pairs, similarity, exclude, cohort, allow_overlap, data, gallery
    )
    fars = check_fars(far)
    if group_far is not None and not groups:
        raise EvaluationError("a FAR for groups needs columns to group by: give groups")
    if groups and request.name != ALL_PAIRS:
        raise EvaluationError(f"the protocol {request.name} does not support groups: omit them")
    for side in request.sides:
        for column in groups:
            check_column(side, column)
    wanted = fars if group_far is None else check_fars([*fars, group_far])
    found = judged(request, wanted, share=True, precision=precision, device=device)
    result = measure(
        found.trials,
        wanted,
        protocol=request.name if gallery is None else "probe-gallery",
        similarity=request.metric,
        level=level,
        detail=detail,
    )
    if groups:
        result = _with_groups(found.trials, result, request, groups, group_far)
    warnings = list(result.warnings)
    if found.scored is not None and found.scored.repeated:
        warnings.append(
            f"{found.scored.repeated} pairs are in the list of {request.name} twice; all are "
            "counted"
        )
    if found.scored is not None and found.scored.codes is None:
        warnings.append(
            "the list has images or templates without identity: all intervals assume independent "
            "trials and are too narrow"
        )
    if request.metric != rows.meta.metric:
        warnings.append(
            f"scores are {request.metric}, but the model was trained to be compared by "
            f"{rows.meta.metric}"
        )
    if found.overlap:
        warnings.append(str(found.overlap))
    if gallery is not None:
        warnings += images_in_both(rows, gallery, exclude)
    return replace(
        result,
        failures=found.failures,
        overlap=found.overlap,
        accuracy=None if found.scored is None else accuracy_of(request, found.scored, level),
        dataset=rows.meta.dataset if gallery is None else joint_name(rows, gallery),
        fingerprint=rows.meta.fingerprint,
        images=images_of(rows, gallery or rows),
        kind=kind_of(rows),
        templates=templates_of(rows),
        normalisation=None if cohort is None else str(cohort),
        warnings=warnings,
    )


def _with_groups(
    trials: Trials,
    result: VerificationResult,
    request: Request,
    groups: Sequence[str],
    group_far: float | None,
) -> VerificationResult:
    """Count the rates by group for columns of one or two sets."""
    if not result.operating_points:
        raise EvaluationError("groups need a FAR that the trials support")
    assert isinstance(trials, StreamedTrials)
    point = result.operating_points[-1] if group_far is None else result.at(group_far)
    found = {
        name: rates_by_group(
            trials,
            [side.rows[name].rename(name) for side in request.sides],
            point.threshold,
            point.interval.level,
        )
        for name in groups
    }
    return replace(result, groups=found, groups_at=point)
