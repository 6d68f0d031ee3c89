"""The result of identification: rates over threshold and rank, with counts and intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facever.embeddings.similarities import Similarity
from facever.embeddings.template_policies import ALL
from facever.errors import EvaluationError
from facever.evaluation.cells import (
    by_method,
    errors,
    far_and_interval,
    few_notes,
    level_of,
    rate_and_interval,
    refused_note,
    span,
)
from facever.evaluation.failures import ComparisonFailures, FailureRate
from facever.evaluation.one_to_many.by_person import person_intervals
from facever.evaluation.one_to_many.ranking import shown_ranks
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.one_to_one.calibration import CalibrationResult
from facever.evaluation.one_to_one.counts import Refused
from facever.evaluation.overlap import Overlap
from facever.evaluation.scoring.similarity import Doubles
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.operating_point import Images, Interval, OperatingPoint, ScoreRule, TrialCounts
from facever.render import figures
from facever.render.blocks import (
    Block,
    Cell,
    Drawing,
    Facts,
    Figure,
    Note,
    Number,
    Section,
    Table,
)
from facever.render.numbers import far, rate, score
from facever.render.result import Result
from facever.render.svg import plot
from facever.render.values import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DET_POINTS = 200


@dataclass(frozen=True)
class IdentifiedPoint:
    """FNIR and FPIR at a threshold.

    Attributes:
        fpir_target: The requested FPIR; never exceeded if the threshold was chosen for it.
        threshold: A candidate is accepted if its score is larger. A threshold that was chosen for
            the target lies half way to the next score; see `cut` in `search`.
        false_positives: Non-mated probes with any candidate above the threshold.
        missed: Mated probes whose mate is not among the first `rank` above the threshold, by rank.
        fpir_interval: Interval of the FPIR.
        fnir_intervals: Intervals of the FNIR, by rank.
    """

    fpir_target: float
    threshold: float
    false_positives: int
    missed: dict[int, int]
    fpir_interval: Interval
    fnir_intervals: dict[int, Interval]


@dataclass(frozen=True)
class JudgedPoint:
    """A stored 1:N operating point with its rates for these probes and this gallery."""

    stored: OperatingPoint
    found: IdentifiedPoint


@dataclass(frozen=True)
class Det(Record):
    """The trade-off of FPIR and FNIR over thresholds.

    Attributes:
        thresholds: float64 [P], ascending, the first -inf: the scores at which the FPIR changes.
        fpir: float64 [P].
        fnir: float64 [P] for each rank.
    """

    thresholds: Doubles
    fpir: Doubles
    fnir: dict[int, Doubles]

    json_keys = "threshold=thresholds fpir fnir"

    def thinned(self, points: int = _DET_POINTS) -> "Det":
        """Return the curve with about `points` points, denser at small FPIR."""
        size = len(self.thresholds)
        kept = size - np.unique(np.geomspace(1, size, points).astype(np.int64))[::-1]
        return Det(
            self.thresholds[kept],
            self.fpir[kept],
            {rank: values[kept] for rank, values in self.fnir.items()},
        )


@dataclass(frozen=True)
class ProbeFailures(Record):
    """Failures to acquire or to enrol: images that could not be embedded.

    Attributes:
        mated, nonmated: Probes that could not be embedded.
        people: People whose gallery images all failed.
        orphans: Embedded probes of these people.
    """

    mated: int = 0
    nonmated: int = 0
    people: int = 0
    orphans: int = 0

    json_keys = (
        "mated_probes=mated nonmated_probes=nonmated people_not_enrolled=people "
        "probes_of_people_not_enrolled=orphans"
    )


@dataclass(frozen=True)
class IdentificationResult(Result):
    """The result of identification.

    Attributes:
        mated, nonmated: Numbers of probes whose person is, and is not, in the gallery.
        gallery_size: People in the gallery (N).
        score_rule: How the scores of a person's templates are combined.
        similarity: Kind of score; None for scores of another system.
        points: FNIR at each FPIR that the probes support.
        refused: The other FPIRs, with the non-mated probes that they need.
        cmc: float64 [N], share of mated probes with the mate among the first r, at any score.
        rank_intervals: Intervals of that share, by requested rank.
        det: FPIR and FNIR over all thresholds.
        realised: Stored operating points, measured here.
        failures: Images that could not be embedded.
        comparisons: Failed comparisons, which are no candidates, if the scores may have them.
        distances: Whether the scores are negated distances of another system.
        templates: The template policy of the gallery.
        calibration: Calibration of the first candidate, if requested.
        overlap: Overlap of the people of both sides with the training, if it was determined.
        dataset, fingerprint: Of the gallery.
        images: Whether both sides are of photos or of crops; None if unknown.
        warnings: Warnings for the reader.
        measure_at: Measures further points on the kept scores.
    """

    mated: int
    nonmated: int
    gallery_size: int
    score_rule: ScoreRule
    similarity: Similarity | None
    points: list[IdentifiedPoint]
    refused: list[Refused]
    cmc: Doubles
    det: Det
    realised: list[JudgedPoint] = field(default_factory=list)
    failures: ProbeFailures = field(default_factory=ProbeFailures)
    comparisons: ComparisonFailures | None = None
    distances: bool = False
    templates: str = ALL
    calibration: CalibrationResult | None = None
    overlap: Overlap | None = None
    dataset: str = ""
    fingerprint: str | None = None
    images: Images | None = None
    warnings: list[str] = field(default_factory=list)
    rank_intervals: dict[int, Interval] = field(default_factory=dict)
    measure_at: Callable[[float], IdentifiedPoint | Refused] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def ranks(self) -> list[int]:
        """The requested ranks."""
        return list(self.det.fnir)

    def rank(self, rank: int) -> float:
        """Return the share of mated probes with the mate among the first `rank`."""
        if rank < 1:
            raise EvaluationError(f"rank {rank} does not exist: ranks count from 1")
        return float(self.cmc[min(rank, len(self.cmc)) - 1])

    def at(self, fpir: float) -> IdentifiedPoint:
        """Return the point at a FPIR, measured now if it was not requested before.

        Raises:
            EvaluationError: The FPIR is outside (0, 1), or the probes cannot support it.
        """
        point: IdentifiedPoint | Refused | None = next(
            (one for one in self.points if one.fpir_target == fpir), None
        )
        if point is None and self.measure_at is not None:
            point = self.measure_at(fpir)
        if point is None:
            raise EvaluationError(f"FPIR {fpir:g} was not measured: add it to the FPIRs")
        if isinstance(point, Refused):
            raise EvaluationError(
                f"a FPIR of {fpir:g} needs {point.needs:,} non-mated probes; there are "
                f"{self.nonmated:,}"
            )
        return point

    def operating_point(
        self, fpir: float, *, dataset: str | None = None, fingerprint: str | None = None
    ) -> OperatingPoint:
        """Return the 1:N operating point that meets a FPIR in a gallery of this size.

        Args:
            fpir: The target FPIR.
            dataset, fingerprint: Of the gallery; by default those of the result.

        Raises:
            EvaluationError: The scores are of another system; also the errors of `at`.
        """
        point = self.at(fpir)
        if self.similarity is None:
            raise EvaluationError("scores of another system give no operating point for a gallery")
        return OperatingPoint(
            kind="1:N",
            threshold=point.threshold,
            similarity=self.similarity,
            target_rate=fpir,
            achieved_rate=point.false_positives / self.nonmated,
            trials=TrialCounts(genuine=self.mated, impostor=self.nonmated),
            interval=point.fpir_interval,
            miss_rate=point.missed[1] / self.mated if 1 in point.missed else None,
            miss_interval=point.fnir_intervals.get(1),
            dataset=self.dataset if dataset is None else dataset,
            fingerprint=self.fingerprint if fingerprint is None else fingerprint,
            score_rule=self.score_rule,
            gallery_size=self.gallery_size,
            templates=self.templates,
            images=self.images,
        )

    protocol = "identification"
    json_keys = (
        "protocol similarity score_rule templates images gallery_size probes.mated=mated "
        "probes.nonmated=nonmated failure_to_acquire=failures failure_rates "
        "failure_to_compare=comparisons distances "
        "cmc=_asked_cmc cmc_intervals=rank_intervals cmc_curve=_cmc_curve "
        "operating_points=_points refused=_refused "
        "realised=_realised det=_thinned_det calibration overlap warnings"
    )

    def describe(self) -> list[Section]:
        """Return FNIR at FPIR by rank, the CMC, and the calibration of the first candidate."""
        failed = self.failures
        policy = "" if self.templates == ALL else f", templates '{self.templates}'"
        turned = " (negated distances)" if self.distances else ""
        facts: list[tuple[str, Cell]] = [
            ("probes", f"{self.mated:,} mated and {self.nonmated:,} non-mated"),
            (
                "gallery",
                f"{self.gallery_size:,} people, {self.score_rule} of "
                f"{self.similarity or 'external'} scores{turned}{policy}",
            ),
            (
                "failed images",
                f"{failed.mated:,} mated and {failed.nonmated:,} non-mated probes; "
                f"{failed.people:,} people not enrolled, with {failed.orphans:,} probes "
                "(all excluded)",
            ),
        ]
        if failed != ProbeFailures():
            facts += [(name, found.told(name)) for name, found in self.failure_rates.items()]
        if self.comparisons is not None:
            facts.append(("failed comparisons", str(self.comparisons)))
        if self.overlap is not None:
            facts.append(("training", str(self.overlap)))
        facts += [(f"rank {k} without threshold", self._rank_cell(k)) for k in self.ranks]
        blocks: list[Block] = [
            Facts(facts),
            Figure(
                "CMC", self._cmc_drawing(), "Share of mated probes with the mate within rank k."
            ),
            Figure(
                "DET",
                self._det_drawing(),
                "Missed mates (FNIR) against false positives (FPIR, logarithmic axis). Lower is "
                "better.",
            ),
        ]
        if self.points:
            blocks += self._points_blocks(self.points)
        blocks += [
            refused_note("FPIR", refused.far_target, refused.needs, "non-mated probes")
            for refused in self.refused
        ]
        for one in self.realised:
            caption = (
                f"The stored threshold {one.stored.threshold:.6g} (FPIR "
                f"{one.stored.achieved_rate:.4g} in a gallery of {one.stored.gallery_size:,}, "
                f"{one.stored.dataset or 'unnamed data'}) gives"
            )
            blocks += self._points_blocks([one.found], caption)
        sections = [Section("identification", "Identification", blocks)]
        if self.calibration is not None:
            (calibrated,) = self.calibration.describe()
            lead = f"Probability that the first candidate is correct: {calibrated.lead}"
            sections.append(replace(calibrated, lead=lead))
        return sections

    def _rank_cell(self, rank: int) -> Cell:
        value, interval = rate(self.rank(rank)), self.rank_intervals.get(rank)
        if interval is None:
            return value
        return Number(f"{value.text} ({interval.level:.0%}: {span(interval).text})", value.value)

    def plot_cmc(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the CMC into axes (new ones by default) and return them."""
        return plot(self._cmc_drawing(), ax)

    def plot_det(self, ax: "Axes | None" = None) -> "Axes":
        """Draw FNIR against FPIR into axes (new ones by default) and return them."""
        return plot(self._det_drawing(), ax)

    def _cmc_drawing(self) -> Drawing:
        shown = self._cmc_curve
        return figures.cmc([figures.Cmc("probes", list(shown), list(shown.values()))])

    def _det_drawing(self) -> Drawing:
        det = self.det.thinned()
        return figures.open_set({f"rank {k}": (det.fpir, fnir) for k, fnir in det.fnir.items()})

    def _points_blocks(self, points: Sequence[IdentifiedPoint], caption: str = "") -> list[Block]:
        """Return the table of FNIR by rank at each FPIR, and notes on the intervals."""
        level = level_of(points[0].fpir_interval)
        rows: list[list[Cell]] = []
        for point in points:
            fpir, fnir = self.with_failures(point)
            for rank, missed in point.missed.items():
                rows.append(
                    [
                        far(point.fpir_target),
                        str(rank),
                        *rate_and_interval(missed / self.mated, point.fnir_intervals[rank]),
                        errors(missed),
                        *far_and_interval(
                            point.false_positives / self.nonmated, point.fpir_interval
                        ),
                        errors(point.false_positives),
                        score(point.threshold),
                        rate(fnir[rank]),
                        far(fpir),
                    ]
                )
        headers = ["FPIR target", "rank", "FNIR", level, "missed", "FPIR", level]
        headers += ["false positives", "threshold", "FNIR with failures", "FPIR with failures"]
        kept = slice(None) if self.failures != ProbeFailures() else slice(-2)
        made = [(f"FPIR at {point.fpir_target:g}", point.fpir_interval) for point in points]
        made += [
            (f"FNIR at {point.fpir_target:g}, rank {rank}", interval)
            for point in points
            for rank, interval in point.fnir_intervals.items()
        ]
        notes = []
        for way, names in by_method(made).items():
            which = "all" if len(names) == len(made) else "; ".join(names)
            notes.append(
                Note(f"intervals at fixed thresholds ({which}): {way}, over the probes' people")
            )
        table = Table(caption, headers[kept], [row[kept] for row in rows])
        return [table, *few_notes(rows), *notes]

    @property
    def failure_rates(self) -> dict[str, FailureRate]:
        """Failures to acquire of probes ("FTA"), and failures to enrol of people ("FTE")."""
        failed = self.failures
        lost = failed.mated + failed.nonmated
        probes = self.mated + self.nonmated + lost + failed.orphans
        people = self.gallery_size + failed.people
        return {"FTA": FailureRate(lost, probes), "FTE": FailureRate(failed.people, people)}

    def with_failures(self, point: IdentifiedPoint) -> tuple[float, dict[int, float]]:
        """Return FPIR and FNIR by rank, counting a failed probe as a search without candidates."""
        lost = self.failures.mated + self.failures.orphans
        return (
            point.false_positives / (self.nonmated + self.failures.nonmated),
            {rank: (missed + lost) / (self.mated + lost) for rank, missed in point.missed.items()},
        )

    def point_values(self, point: IdentifiedPoint) -> dict[str, Any]:
        """Return one point as JSON values."""
        fpir, fnir = self.with_failures(point)
        return {
            "fpir_target": point.fpir_target,
            "fpir": point.false_positives / self.nonmated,
            "threshold": point.threshold,
            "false_positives": point.false_positives,
            "few_false_positives": point.false_positives < FEW_ERRORS,
            "fpir_interval": point.fpir_interval,
            "fnir": {
                rank: {
                    "value": missed / self.mated,
                    "missed": missed,
                    "few_missed": missed < FEW_ERRORS,
                    "interval": point.fnir_intervals[rank],
                }
                for rank, missed in point.missed.items()
            },
            "with_failures": {"fpir": fpir, "fnir": fnir},
        }

    @property
    def _points(self) -> list[dict[str, Any]]:
        return [self.point_values(point) for point in self.points]

    @property
    def _refused(self) -> list[dict[str, float]]:
        return [{"fpir_target": each.far_target, "needs": each.needs} for each in self.refused]

    @property
    def _realised(self) -> list[dict[str, Any]]:
        return [{"stored": one.stored, **self.point_values(one.found)} for one in self.realised]

    @property
    def _thinned_det(self) -> Det:
        return self.det.thinned()

    @property
    def _asked_cmc(self) -> dict[int, float]:
        return {rank: self.rank(rank) for rank in self.ranks}

    @property
    def _cmc_curve(self) -> dict[int, float]:
        return {rank: self.rank(rank) for rank in shown_ranks(len(self.cmc))}


def rates_at(
    searched: Searched,
    targets: Sequence[float],
    thresholds: Sequence[float],
    ranks: Sequence[int],
    level: float,
) -> list[IdentifiedPoint]:
    """Return FPIR and FNIR at thresholds, with intervals that draw the probes' people.

    Args:
        searched: The search results.
        targets: The target FPIR of each threshold.
        thresholds: The thresholds.
        ranks: Ascending.
        level: Confidence level.
    """
    if not thresholds:
        return []
    mated = searched.mated
    cuts = np.array(thresholds, np.float64)
    known = searched.best[~mated, None] > cuts
    missed = np.concatenate(
        [
            (searched.rank[mated, None] > rank) | (searched.mate[mated, None] <= cuts)
            for rank in ranks
        ],
        axis=1,
    )
    of_fpir = person_intervals(known, searched.codes[~mated], level)
    of_fnir = person_intervals(missed, searched.codes[mated], level)
    places = {rank: slice(i * len(cuts), (i + 1) * len(cuts)) for i, rank in enumerate(ranks)}
    return [
        IdentifiedPoint(
            fpir_target=target,
            threshold=float(cuts[i]),
            false_positives=int(known[:, i].sum()),
            missed={rank: int(missed[:, here][:, i].sum()) for rank, here in places.items()},
            fpir_interval=of_fpir[i],
            fnir_intervals={rank: of_fnir[here][i] for rank, here in places.items()},
        )
        for i, target in enumerate(targets)
    ]


def rank_intervals(searched: Searched, ranks: Sequence[int], level: float) -> dict[int, Interval]:
    """Return the interval of the share of mated probes with the mate among the first, by rank."""
    mated = searched.mated
    hits = searched.rank[mated, None] <= np.minimum(ranks, searched.people)
    found = person_intervals(hits, searched.codes[mated], level)
    return dict(zip(ranks, found, strict=True))


def det_of(searched: Searched, ranks: Sequence[int]) -> Det:
    """Return FPIR and FNIR over all thresholds at which the FPIR changes."""
    strangers = np.sort(searched.best[~searched.mated]).astype(np.float64)
    mate, place = searched.mate[searched.mated], searched.rank[searched.mated]
    thresholds = np.append(-np.inf, np.unique(strangers))
    fnir = {}
    for rank in ranks:
        scores = np.sort(np.where(place <= rank, mate, -np.inf).astype(np.float64))
        fnir[rank] = np.searchsorted(scores, thresholds, side="right") / len(scores)
    fpir = 1 - np.searchsorted(strangers, thresholds, side="right") / len(strangers)
    return Det(thresholds, fpir, fnir)
