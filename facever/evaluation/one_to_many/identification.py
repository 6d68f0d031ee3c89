"""Identification (1:N, open set): FPIR and FNIR over threshold and rank.

FPIR(N, T) is counted over non-mated probes, of whom any candidate passes; never over pairs.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from facever.errors import EvaluationError, unknown
from facever.evaluation.columns import people_column, required
from facever.evaluation.one_to_many.first_candidate import calibrate_search
from facever.evaluation.one_to_many.identified import (
    IdentificationResult,
    ProbeFailures,
    RealisedPoint,
    det_of,
    rates_at,
)
from facever.evaluation.one_to_many.inputs import checked_rows, shared_codes
from facever.evaluation.one_to_many.search import Searched, search
from facever.evaluation.one_to_one.result import Refused
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.policies import ALL
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import Ints, Similarity, named_similarity
from facever.evaluation.scoring.trials import budget, check_fars, half_way, needed, next_above

DEFAULT_FPIRS = (0.1, 0.01)
DEFAULT_RANKS = (1, 10)
RULES: tuple[ScoreRule, ...] = ("max", "mean")
_OUTGROWN = 2  # times the people that a 1:N operating point was measured with


def identification(
    probes: ArrayLike,
    probe_identities: ArrayLike,
    gallery: ArrayLike,
    gallery_identities: ArrayLike,
    *,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    rule: str = "max",
    similarity: str = "cosine",
    operating_points: Sequence[OperatingPoint] = (),
    probe_acquired: ArrayLike | None = None,
    gallery_acquired: ArrayLike | None = None,
    level: float = 0.95,
    templates: str = ALL,
    calibrate: str | None = None,
    prior: float | None = None,
) -> IdentificationResult:
    """Search every probe in a gallery that does not hold everyone.

    Args:
        probes: [P, D], unit rows for "cosine". Those whose identity is in the gallery are mated.
        probe_identities: [P].
        gallery: [G, D], one or several templates a person.
        gallery_identities: [G].
        fpir: The false positive identification rates at which FNIR is wanted.
        ranks: How many candidates are looked at.
        rule: A person's score is the "max" or the "mean" over their templates.
        similarity: "cosine", "euclidean" or "dot".
        operating_points: Stored 1:N thresholds, whose FPIR and FNIR here are wanted.
        probe_acquired, gallery_acquired: Bool [P] and [G], False where the image could not be
            embedded. Rates are of the others; `to_dict()` has them with the failures too.
        level: Confidence of the intervals, which draw the probes' people.
        templates: The policy by which the gallery's rows were made of images: part of what its
            thresholds and calibration are for.
        calibrate: "logistic" or "isotonic", to fit how probable it is that the first candidate is
            the right one, on half of the probes' people, and judge it on the others.
        prior: As for `calibrate_search`.

    Raises:
        EvaluationError: Shapes that do not fit, an unknown rule, probes of one kind only, an
            operating point that is not for this, or what `calibrate_search` raises.
    """
    chosen = next((name for name in RULES if name == rule), None)
    if chosen is None:
        raise EvaluationError(unknown("score rule", rule, RULES))
    metric = named_similarity(similarity)
    for point in operating_points:
        _require_fit(point, chosen, metric, templates)
    sides = [checked_rows(probes, "probes"), checked_rows(gallery, "gallery")]
    names = [
        required(people_column(probe_identities), len(sides[0]), "probe identities"),
        required(people_column(gallery_identities), len(sides[1]), "gallery identities"),
    ]
    people = shared_codes(names)
    kept, failures = searchable(
        people,
        _mask(probe_acquired, people[0], "probe"),
        _mask(gallery_acquired, people[1], "gallery"),
    )
    sides = [side[rows] for side, rows in zip(sides, kept, strict=True)]
    people = [codes[rows] for codes, rows in zip(people, kept, strict=True)]
    if not len(people[0]) or not len(people[1]):
        lacking = "probe" if not len(people[0]) else "gallery"
        raise EvaluationError(f"no {lacking} image could be embedded")
    searched = search(sides[0], sides[1], people, chosen, metric)
    result = measured(
        searched, chosen, metric, fpir, ranks, level, operating_points, failures, templates
    )
    if calibrate is None:
        return result
    fitted = calibrate_search(
        searched, chosen, metric, method=calibrate, prior=prior, templates=templates, level=level
    )
    return replace(result, calibration=fitted)


def measured(
    searched: Searched,
    rule: ScoreRule,
    similarity: Similarity,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    level: float = 0.95,
    operating_points: Sequence[OperatingPoint] = (),
    failures: ProbeFailures | None = None,
    templates: str = ALL,
) -> IdentificationResult:
    """Count the rates of a search.

    Raises:
        EvaluationError: Probes of one kind only, a rank below 1, or a FPIR outside (0, 1).
    """
    if not ranks or min(ranks) < 1:
        raise EvaluationError("ranks count from 1")
    mated = searched.mated
    if mated.all() or not mated.any():
        lacking = "non-mated" if mated.all() else "mated"
        raise EvaluationError(
            f"no {lacking} probes: an open set needs probes of people in and not in the gallery"
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
            RealisedPoint(point, one)
            for point, one in zip(stored, found[len(targets) :], strict=True)
        ],
        failures=failures or ProbeFailures(),
        templates=templates,
        warnings=[
            f"the operating point was measured with {point.gallery_size:,} people and this gallery "
            f"has {searched.people:,}, more than {_OUTGROWN} times as many: more strangers pass"
            for point in stored
            if searched.people > _OUTGROWN * (point.gallery_size or 0)
        ],
    )


def cut(searched: Searched, k: int) -> float:
    """Return a threshold that the best scores of at most k non-mated probes are above.

    It lies half way from the (k + 1)-th highest of them to the next score that it is compared with,
    of a non-mated probe or of a mate; see `half_way`.

    Args:
        searched: What was found, with non-mated probes among it.
        k: From 0 to one less than there are non-mated probes.
    """
    strangers = np.sort(searched.best[~searched.mated])
    score = strangers[len(strangers) - 1 - k]
    compared = np.sort(np.concatenate([strangers, searched.mate[searched.mated]]))
    return half_way(score, next_above(compared, score))


def _require_fit(
    point: OperatingPoint, rule: ScoreRule, similarity: Similarity, templates: str
) -> None:
    """Refuse an operating point that is not for an identification by these scores."""
    if point.kind != "1:N":
        raise EvaluationError(
            f"a {point.kind} operating point does not decide an identification: give a 1:N one"
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


def _mask(acquired: ArrayLike | None, codes: Ints, name: str) -> Bools:
    """Return which rows could be embedded."""
    if acquired is None:
        return np.ones(len(codes), np.bool_)
    mask = np.asarray(acquired, np.bool_)
    if mask.shape != codes.shape:
        raise EvaluationError(f"{name}_acquired has shape {mask.shape} for {len(codes)} rows")
    return mask


def searchable(
    people: list[Ints], probes: Bools, gallery: Bools
) -> tuple[tuple[Bools, Bools], ProbeFailures]:
    """Return the rows that are searched with and in, and who is missing.

    A person none of whose gallery images could be embedded was to be enrolled: their probes are
    neither mated nor non-mated.
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
