"""Identification (1:N, open set): FPIR and FNIR over threshold and rank.

FPIR(N, T) is the share of non-mated probes with any candidate above the threshold, never a share of
pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.meta import UNDECLARED
from facever.embeddings.similarities import Similarity, named_similarity
from facever.embeddings.template_policies import ALL
from facever.errors import EvaluationError, unknown
from facever.evaluation.columns import Names, people_column
from facever.evaluation.inputs import (
    Embeddings,
    as_set,
    images_of,
    others_measured,
    shared_codes,
    vectors_for,
)
from facever.evaluation.one_to_many.first_candidate import calibrate_search
from facever.evaluation.one_to_many.identified import (
    IdentificationResult,
    IdentifiedPoint,
    JudgedPoint,
    ProbeFailures,
    det_of,
    rank_intervals,
    rates_at,
)
from facever.evaluation.one_to_many.search import Searched, cut, search
from facever.evaluation.one_to_one.counts import Refused
from facever.evaluation.overlap import find_overlap
from facever.evaluation.policies import make_templates
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Floats, Ints
from facever.evaluation.scoring.trials import budget, check_fars, needed
from facever.evaluation.two_sets import check_one_model, images_in_both
from facever.operating_point import OperatingPoint, ScoreRule

DEFAULT_FPIRS = (0.1, 0.01)
DEFAULT_RANKS = (1, 10)
RULES: tuple[ScoreRule, ...] = ("max", "mean")
_OUTGROWN = 2  # times the gallery size of a 1:N operating point


def identification(
    probes: Embeddings,
    gallery: Embeddings,
    *,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    rule: str = "max",
    similarity: str | None = None,
    operating_points: Sequence[OperatingPoint] = (),
    level: float = 0.95,
    templates: str = ALL,
    calibrate: str | None = None,
    prior: float | None = None,
    fingerprint: str | None = None,
    dataset: str = "",
    trained_on: pd.DataFrame | None = None,
) -> IdentificationResult:
    """Measure open-set identification (1:N): search every probe in a gallery.

    Args:
        probes: The probes; those whose identity is in the gallery are mated. An EmbeddingSet, a
            mapping of columns, or a pair (vectors [P, D], identities [P]); see `Embeddings`. Rates
            are over images that could be embedded; `to_dict()` has rates with failures too.
        gallery: The enrolled images, by the same model.
        fpir: False positive identification rates at which FNIR is measured.
        ranks: Numbers of candidates that are considered.
        rule: A person's score is the "max" or the "mean" over their templates.
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head, or
            the cosine of templates.
        operating_points: Stored 1:N thresholds, whose FPIR and FNIR are measured here.
        level: Confidence level of the intervals, which draw the probes' people.
        templates: The template policy of the gallery.
        calibrate: "logistic" or "isotonic": fit the probability that the first candidate is
            correct on half of the probes' people, and test it on the other half.
        prior: As for `calibrate_search`.
        fingerprint, trained_on: As for `verification`.
        dataset: Name of the gallery's data set, if it is not recorded.

    Raises:
        EvaluationError: The models differ, the rule is unknown, all probes are mated or all are
            non-mated, an operating point does not match, or templates are not compared by cosine
            or cannot be made by the policy; also the input errors of `verification` and the errors
            of `calibrate_search`.
    """
    asked = as_set(probes, similarity=similarity, fingerprint=fingerprint, trained_on=trained_on)
    enrolled = as_set(gallery, similarity=similarity, fingerprint=fingerprint, dataset=dataset)
    check_one_model(asked, enrolled, "probes and gallery")
    chosen = next((name for name in RULES if name == rule), None)
    if chosen is None:
        raise EvaluationError(unknown("score rule", rule, RULES))
    meta = enrolled.meta
    metric = named_similarity(similarity or (meta.metric if templates == ALL else "cosine"))
    for point in operating_points:
        _require_fit(point, chosen, metric, templates, meta.fingerprint)
    names, vectors, acquired = _enrolled(enrolled, templates, metric)
    people = shared_codes([asked.identities, names])
    kept, failures = searchable(people, asked.acquired, acquired)
    for name, rows in zip(("probe", "gallery"), kept, strict=True):
        if not rows.any():
            raise EvaluationError(f"no {name} image could be embedded")
    searched = search(
        np.asarray(vectors_for(asked, metric), np.float32)[kept[0]],
        np.asarray(vectors, np.float32)[kept[1]],
        [codes[rows] for codes, rows in zip(people, kept, strict=True)],
        chosen,
        metric,
    )
    result = measured(
        searched, chosen, metric, fpir, ranks, level, operating_points, failures, templates
    )
    fitted = None
    if calibrate is not None:
        fitted = replace(
            calibrate_search(
                searched,
                chosen,
                metric,
                method=calibrate,
                prior=prior,
                templates=templates,
                level=level,
            ),
            dataset=meta.dataset,
            fingerprint=meta.fingerprint,
            images=images_of(asked, enrolled),
        )
    overlap = find_overlap(
        asked.trained_on, {*asked.identities.tolist(), *enrolled.identities.tolist()}, None
    )
    return replace(
        result,
        dataset=meta.dataset,
        fingerprint=meta.fingerprint,
        images=images_of(asked, enrolled),
        calibration=fitted,
        overlap=overlap,
        warnings=[
            *result.warnings,
            *([str(overlap)] if overlap else []),
            *images_in_both(asked, enrolled),
            *others_measured(operating_points, asked),
        ],
    )


def _enrolled(
    gallery: EmbeddingSet, templates: str, similarity: Similarity
) -> tuple[Names, Floats, Bools]:
    """Return the identity, vector and acquisition of each template of a gallery.

    A person without any vector keeps one failed row.
    """
    if templates == ALL:
        return gallery.identities, vectors_for(gallery, similarity), gallery.acquired
    if similarity != "cosine":
        raise EvaluationError("templates are unit vectors: compare them by cosine")
    codes, names = pd.factorize(people_column(gallery.identities), sort=True)
    held = gallery.acquired
    owners, vectors = make_templates(
        gallery.vectors[held], codes[held], templates, gallery.rows["norm"].to_numpy()[held]
    )
    lost = np.setdiff1d(codes, owners)
    everyone = np.concatenate([owners, lost])
    blank = np.zeros((len(lost), gallery.vectors.shape[1]), np.float32)
    return (
        np.asarray(names, str)[everyone],
        np.concatenate([vectors, blank]),
        np.arange(len(everyone)) < len(owners),
    )


def measured(
    searched: Searched,
    rule: ScoreRule,
    similarity: Similarity | None,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    level: float = 0.95,
    operating_points: Sequence[OperatingPoint] = (),
    failures: ProbeFailures | None = None,
    templates: str = ALL,
) -> IdentificationResult:
    """Measure the rates of a search.

    Raises:
        EvaluationError: All probes are mated or all are non-mated, a rank is below 1, or a FPIR is
            outside (0, 1).
    """
    if not ranks or min(ranks) < 1:
        raise EvaluationError("ranks must be 1 or more")
    mated = searched.mated
    if mated.all() or not mated.any():
        lacking = "non-mated" if mated.all() else "mated"
        raise EvaluationError(
            f"no {lacking} probes: open-set identification needs probes of enrolled and of other "
            "people"
        )
    asked = sorted(set(ranks))
    nonmated = int((~mated).sum())
    allowed = {target: budget(target, nonmated) for target in check_fars(fpir, "FPIR")}
    targets = [target for target, count in allowed.items() if count]
    thresholds = [cut(searched, allowed[target]) for target in targets]
    stored = list(operating_points)
    found = rates_at(
        searched,
        targets + [point.target_rate for point in stored],
        thresholds + [point.threshold for point in stored],
        asked,
        level,
    )
    first = np.bincount(searched.rank[mated], minlength=searched.people + 2)
    return IdentificationResult(
        mated=int(mated.sum()),
        nonmated=nonmated,
        gallery_size=searched.people,
        score_rule=rule,
        similarity=similarity,
        points=found[: len(targets)],
        refused=[Refused(target, needed(target)) for target in allowed if not allowed[target]],
        cmc=np.cumsum(first[1 : searched.people + 1]) / int(mated.sum()),
        det=det_of(searched, asked),
        realised=[
            JudgedPoint(point, one)
            for point, one in zip(stored, found[len(targets) :], strict=True)
        ],
        failures=failures or ProbeFailures(),
        templates=templates,
        warnings=[
            f"the operating point was measured with {point.gallery_size:,} people, but this "
            "gallery "
            f"has {searched.people:,}, more than {_OUTGROWN} times as many: the FPIR is higher"
            for point in stored
            if searched.people > _OUTGROWN * (point.gallery_size or 0)
        ],
        rank_intervals=rank_intervals(searched, asked, level),
        measure_at=partial(_asked_later, searched, asked, level),
    )


def _asked_later(
    searched: Searched, ranks: Sequence[int], level: float, fpir: float
) -> IdentifiedPoint | Refused:
    """Measure one more point, with the same result as a request from the start."""
    check_fars([fpir], "FPIR")
    allowed = budget(fpir, int((~searched.mated).sum()))
    if not allowed:
        return Refused(fpir, needed(fpir))
    return rates_at(searched, [fpir], [cut(searched, allowed)], ranks, level)[0]


def _require_fit(
    point: OperatingPoint,
    rule: ScoreRule,
    similarity: Similarity,
    templates: str,
    fingerprint: str,
) -> None:
    """Raise if an operating point is not for identification with these scores."""
    if (point.fingerprint or UNDECLARED) != fingerprint:
        raise EvaluationError(
            f"the operating point has fingerprint {point.fingerprint}, the gallery has "
            f"{fingerprint}: measure one on the scores of this model"
        )
    if point.kind != "1:N":
        raise EvaluationError(
            f"a {point.kind} operating point is not for identification: give a 1:N operating point"
        )
    if (point.similarity, point.score_rule) != (similarity, rule):
        raise EvaluationError(
            f"the operating point is for the {point.score_rule} of {point.similarity} scores, not "
            f"for the {rule} of {similarity} scores"
        )
    if point.templates != templates:
        raise EvaluationError(
            f"the operating point is for templates '{point.templates}', not for '{templates}'"
        )


def searchable(
    people: list[Ints], probes: Bools, gallery: Bools
) -> tuple[tuple[Bools, Bools], ProbeFailures]:
    """Return the rows of probes and gallery, and the failures.

    Probes of a person whose gallery images all failed are neither mated nor non-mated.
    """
    lost = np.setdiff1d(people[1], people[1][gallery])
    expected = np.isin(people[0], people[1])
    orphans = probes & np.isin(people[0], lost)
    failures = ProbeFailures(
        mated=int((~probes & expected).sum()),
        nonmated=int((~probes & ~expected).sum()),
        people=len(lost),
        orphans=int(orphans.sum()),
    )
    return (probes & ~orphans, gallery), failures
