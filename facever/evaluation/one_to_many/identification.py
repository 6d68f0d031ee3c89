"""Identification (1:N, open set): FPIR and FNIR over threshold and rank.

FPIR(N, T) is counted over non-mated probes, of whom any candidate passes; never over pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from facever.console import table
from facever.errors import EvaluationError, unknown
from facever.evaluation.one_to_many.retrieval import checked_names, checked_rows, shared_codes
from facever.evaluation.one_to_one.result import Refused
from facever.evaluation.operating_point import Interval, OperatingPoint, ScoreRule, TrialCounts
from facever.evaluation.scoring.pairwise import Bools
from facever.evaluation.scoring.similarity import (
    Doubles,
    Floats,
    Ints,
    Similarity,
    make_scorer,
    named_similarity,
)
from facever.evaluation.scoring.trials import budget, check_fars, needed
from facever.evaluation.statistics.intervals import Moving, tar_interval

DEFAULT_FPIRS = (0.1, 0.01)
DEFAULT_RANKS = (1, 10)
RULES: tuple[ScoreRule, ...] = ("max", "mean")
_PROBES = 256


@dataclass(frozen=True)
class IdentifiedPoint:
    """FNIR at a FPIR.

    Attributes:
        fpir_target: The FPIR asked for, never exceeded.
        threshold: A candidate is named when its score is larger.
        false_positives: Non-mated probes with any candidate above the threshold.
        missed: Mated probes whose mate is not among the first `rank` above the threshold, by rank.
        fpir_interval: Of the FPIR.
        fnir_intervals: Of the FNIR, by rank.
    """

    fpir_target: float
    threshold: float
    false_positives: int
    missed: dict[int, int]
    fpir_interval: Interval
    fnir_intervals: dict[int, Interval]


@dataclass(frozen=True)
class IdentificationResult:
    """What was identified.

    Attributes:
        mated, nonmated: Probes whose person is, and is not, in the gallery.
        gallery_size: People in the gallery (N).
        score_rule: How a person's templates make one score.
        cmc: Share of mated probes with the mate among the first r, whatever the score, by rank.
        fpir, fnir: The DET at rank 1, float64 [P] each, with `thresholds`.
    """

    mated: int
    nonmated: int
    gallery_size: int
    score_rule: ScoreRule
    similarity: Similarity
    points: list[IdentifiedPoint]
    refused: list[Refused]
    cmc: dict[int, float]
    thresholds: Doubles
    fpir: Doubles
    fnir: Doubles

    def operating_point(
        self, fpir: float, *, dataset: str = "", fingerprint: str | None = None
    ) -> OperatingPoint:
        """Return the 1:N operating point that meets a FPIR in a gallery of this size.

        Raises:
            EvaluationError: The FPIR was not measured, or was refused.
        """
        for point in self.points:
            if point.fpir_target == fpir:
                return OperatingPoint(
                    kind="1:N",
                    threshold=point.threshold,
                    similarity=self.similarity,
                    target_rate=fpir,
                    achieved_rate=point.false_positives / self.nonmated,
                    trials=TrialCounts(genuine=self.mated, impostor=self.nonmated),
                    interval=point.fpir_interval,
                    dataset=dataset,
                    fingerprint=fingerprint,
                    score_rule=self.score_rule,
                    gallery_size=self.gallery_size,
                )
        raise EvaluationError(f"FPIR {fpir:g} was not measured, or the probes cannot support it")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, the same as `--json` prints."""
        return {
            "protocol": "identification",
            "similarity": self.similarity,
            "score_rule": self.score_rule,
            "gallery_size": self.gallery_size,
            "probes": {"mated": self.mated, "nonmated": self.nonmated},
            "cmc": {str(rank): share for rank, share in self.cmc.items()},
            "operating_points": [
                {
                    "fpir_target": point.fpir_target,
                    "fpir": point.false_positives / self.nonmated,
                    "threshold": point.threshold,
                    "false_positives": point.false_positives,
                    "fpir_interval": point.fpir_interval.model_dump(),
                    "fnir": {
                        str(rank): {
                            "value": missed / self.mated,
                            "interval": point.fnir_intervals[rank].model_dump(),
                        }
                        for rank, missed in point.missed.items()
                    },
                }
                for point in self.points
            ],
            "refused": [
                {"fpir_target": refused.far_target, "needs": refused.needs}
                for refused in self.refused
            ],
        }

    def to_text(self) -> str:
        """Return the result as a person reads it."""
        rows = [
            [
                f"{point.fpir_target:g}",
                f"{point.false_positives / self.nonmated:.4g}",
                *(f"{missed / self.mated:.4f}" for missed in point.missed.values()),
                f"{point.threshold:.6g}",
            ]
            for point in self.points
        ]
        ranks = [f"FNIR rank {rank}" for rank in self.cmc]
        lines = [
            f"{self.mated:,} mated and {self.nonmated:,} non-mated probes in a gallery of "
            f"{self.gallery_size:,} people, {self.score_rule} of {self.similarity} scores",
            *(f"rank {rank} without threshold: {share:.4f}" for rank, share in self.cmc.items()),
            "",
            table(["FPIR target", "FPIR", *ranks, "threshold"], rows) if rows else "",
        ]
        lines += [
            f"FPIR {refused.far_target:g} is refused: it needs {refused.needs:,} non-mated probes"
            for refused in self.refused
        ]
        return "\n".join(lines)


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
    level: float = 0.95,
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
        level: Confidence of the intervals, which draw the probes' people.

    Raises:
        EvaluationError: Shapes that do not fit, an unknown rule, or probes of one kind only.
    """
    chosen = next((name for name in RULES if name == rule), None)
    if chosen is None:
        raise EvaluationError(unknown("score rule", rule, RULES))
    if not ranks or min(ranks) < 1:
        raise EvaluationError("ranks count from 1")
    sides = [checked_rows(probes, "probes"), checked_rows(gallery, "gallery")]
    names = [checked_names(probe_identities, sides[0], "probe identities")]
    names.append(checked_names(gallery_identities, sides[1], "gallery identities"))
    people = shared_codes(names)
    best, mate, rank = _search(sides, people, chosen, similarity)
    mated = np.isin(people[0], people[1])
    if mated.all() or not mated.any():
        lacking = "non-mated" if mated.all() else "mated"
        raise EvaluationError(
            f"no {lacking} probes: an open set needs probes of people in and not in the gallery"
        )
    strangers = np.sort(best[~mated])[::-1]
    points, refused = [], []
    for target in check_fars(fpir):
        allowed = budget(target, len(strangers))
        if allowed < 1:
            refused.append(Refused(target, needed(target)))
            continue
        threshold = float(strangers[allowed])
        known = best[~mated] > threshold
        found = {r: (rank[mated] <= r) & (mate[mated] > threshold) for r in sorted(set(ranks))}
        points.append(
            IdentifiedPoint(
                fpir_target=target,
                threshold=threshold,
                false_positives=int(known.sum()),
                missed={r: int((~hit).sum()) for r, hit in found.items()},
                fpir_interval=_by_person(known, people[0][~mated], level),
                fnir_intervals={
                    r: _by_person(~hit, people[0][mated], level) for r, hit in found.items()
                },
            )
        )
    thresholds = np.append(-np.inf, np.unique(strangers).astype(np.float64))
    first = np.sort(np.where(rank[mated] == 1, mate[mated], -np.inf).astype(np.float64))
    return IdentificationResult(
        mated=int(mated.sum()),
        nonmated=int((~mated).sum()),
        gallery_size=len(np.unique(people[1])),
        score_rule=chosen,
        similarity=named_similarity(similarity),
        points=points,
        refused=refused,
        cmc={r: float((rank[mated] <= r).mean()) for r in sorted(set(ranks))},
        thresholds=thresholds,
        fpir=1 - np.searchsorted(strangers[::-1], thresholds, side="right") / len(strangers),
        fnir=np.searchsorted(first, thresholds, side="right") / len(first),
    )


def _search(
    sides: list[Floats], people: list[Ints], rule: ScoreRule, similarity: str
) -> tuple[Floats, Floats, Ints]:
    """Return each probe's best score, its mate's score (-inf without) and the mate's rank.

    A mate that ties with others comes after them.
    """
    order = np.argsort(people[1], kind="stable")
    scorer = make_scorer(sides[0], similarity, others=sides[1][order])
    codes, starts, counts = np.unique(people[1][order], return_index=True, return_counts=True)
    size = len(sides[0])
    best, mate = np.empty(size, np.float32), np.full(size, -np.inf, np.float32)
    rank = np.full(size, len(codes) + 1, np.int64)
    where = np.searchsorted(codes, people[0])
    where[where == len(codes)] = 0
    mated = codes[where] == people[0]
    for start in range(0, size, _PROBES):
        part = slice(start, min(start + _PROBES, size))
        scores = scorer.left[part] @ scorer.right.T
        if rule == "max":
            scores = np.maximum.reduceat(scores, starts, axis=1)
        else:
            scores = np.add.reduceat(scores, starts, axis=1) / counts.astype(np.float32)
        best[part] = scores.max(axis=1)
        own = scores[np.arange(len(scores)), where[part]]
        others = (scores >= own[:, None]).sum(axis=1)
        mate[part] = np.where(mated[part], own, -np.inf)
        rank[part] = np.where(mated[part], others, len(codes) + 1)
    return best, mate, rank


def _by_person(errors: Bools, codes: Ints, level: float) -> Interval:
    """Return the identity bootstrap interval of a share of probes."""
    people, at = np.unique(codes, return_inverse=True)
    sums = np.bincount(at, weights=errors, minlength=len(people)).astype(np.float64)
    sizes = np.bincount(at, minlength=len(people)).astype(np.float64)
    return tar_interval(Moving.fixed(sums, sizes), level)
