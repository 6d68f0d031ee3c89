"""Calibration: from scores to probabilities, fitted on some people and tested on others."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from facever.core.seeding import stream
from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.similarities import Similarity
from facever.embeddings.template_policies import ALL
from facever.errors import EvaluationError
from facever.evaluation.cells import level_of, rate_and_interval
from facever.evaluation.columns import Names
from facever.evaluation.inputs import Embeddings, as_set, images_of, kind_of, templates_of
from facever.evaluation.one_to_one.likelihood import Calibration, cllr, cllr_min, fit
from facever.evaluation.overlap import find_overlap
from facever.evaluation.protocols.all_pairs import all_pairs
from facever.evaluation.protocols.judged import listed
from facever.evaluation.protocols.request import Request
from facever.evaluation.protocols.templates import templates_for
from facever.evaluation.score_calibration import ScoreCalibration
from facever.evaluation.scoring.pairwise import Bools, PairScores
from facever.evaluation.scoring.similarity import Doubles, Numbers
from facever.evaluation.scoring.streaming import WHOLE
from facever.evaluation.scoring.trials import check_both_classes
from facever.evaluation.statistics.clustered import share_interval
from facever.operating_point import Images, Interval, Kind, ScoreRule, TrialCounts
from facever.render import figures
from facever.render.blocks import Cell, Drawing, Facts, Figure, Note, Number, Section, Table
from facever.render.numbers import count, rate
from facever.render.result import Result
from facever.render.svg import plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of trials with similar predicted probability, and the observed share of genuine trials.

    Attributes:
        predicted: Mean predicted probability, weighted to the prior.
        observed: Share of genuine trials, weighted to the prior.
        interval: Interval of `observed`, clustered by identity.
        genuine, impostor: Numbers of trials.
    """

    predicted: float
    observed: float
    interval: Interval
    genuine: int
    impostor: int


@dataclass(frozen=True)
class JudgedTrials:
    """Scores of pairs with their people, all in memory.

    Attributes:
        scores: Float [T].
        same: Bool [T].
        people: Integers [T] each, the two people of each trial by number.
    """

    scores: npt.NDArray[np.floating]
    same: Bools
    people: tuple[Numbers, Numbers]


@dataclass(frozen=True)
class CalibrationResult(Result):
    """A calibration fitted on some people and tested on others.

    Attributes:
        cllr: Cost of the log-likelihood ratios in bits; 1 for an uninformative system.
        cllr_min: Cost of the best monotonic map of these scores, in bits.
        prior: Share of genuine trials for which probabilities are predicted.
        reliability: The test trials in bins of predicted probability, without empty bins.
        people: Numbers of people for fitting and for testing.
        trials: Numbers of trials for fitting and for testing.
        similarity: Kind of score; None for scores of another system.
        kind, dataset, fingerprint, templates, score_rule, gallery_size, images: As for `Measured`.
        distances: Whether the scores are negated distances of another system.
        warnings: Warnings for the reader.
    """

    calibration: Calibration
    cllr: float
    cllr_min: float
    prior: float
    reliability: list[ReliabilityBin]
    people: tuple[int, int]
    trials: tuple[TrialCounts, TrialCounts]
    similarity: Similarity | None = None
    kind: Kind = "1:1-image"
    dataset: str = ""
    fingerprint: str | None = None
    templates: str = ALL
    score_rule: ScoreRule | None = None
    gallery_size: int | None = None
    images: Images | None = None
    distances: bool = False
    warnings: list[str] = field(default_factory=list)

    def stored(self) -> ScoreCalibration:
        """Return the calibration with its provenance, for files and galleries.

        Raises:
            EvaluationError: The scores are of another system.
        """
        if self.similarity is None:
            raise EvaluationError(
                "a calibration on scores of another system is not for galleries: calibrate on "
                "embeddings"
            )
        scores, llrs = self.calibration.scores, self.calibration.llrs
        # of equal values, the first and the last suffice
        bend = np.flatnonzero(np.diff(llrs))
        kept = np.unique(np.concatenate([[0], bend, bend + 1, [len(llrs) - 1]]))
        return ScoreCalibration(
            kind=self.kind,
            similarity=self.similarity,
            trials=self.trials[0],
            dataset=self.dataset,
            fingerprint=self.fingerprint,
            score_rule=self.score_rule,
            gallery_size=self.gallery_size,
            templates=self.templates,
            images=self.images,
            method=self.calibration.method,
            scores=tuple(scores[kept].tolist()),
            llrs=tuple(llrs[kept].tolist()),
            prior=self.prior,
        )

    protocol = "calibration"
    json_keys = (
        "protocol kind similarity distances dataset fingerprint templates score_rule gallery_size "
        "method=calibration.method scores=calibration.scores llrs=calibration.llrs cllr cllr_min "
        "prior reliability people.fitted=people.0 people.judged=people.1 "
        "trials.fitted=trials.0 trials.judged=trials.1 warnings"
    )

    def describe(self) -> list[Section]:
        """Return the costs and the reliability of the probabilities."""
        fitted, judged = self.people
        facts: list[tuple[str, Cell]] = [
            ("Cllr", Number(f"{self.cllr:.4f} bits (1: uninformative)", self.cllr)),
            ("minimum Cllr", Number(f"{self.cllr_min:.4f} bits", self.cllr_min)),
            ("prior", Number(f"{self.prior:.4g}", self.prior)),
        ]
        figure = Figure(
            "Reliability",
            self._drawing(),
            "Observed share of genuine trials against predicted probability. The dotted line is "
            "perfect calibration.",
        )
        level = level_of(self.reliability[0].interval) if self.reliability else "interval"
        rows = [
            [
                rate(found.predicted),
                *rate_and_interval(found.observed, found.interval),
                count(found.genuine),
                count(found.impostor),
            ]
            for found in self.reliability
        ]
        headers = ["predicted", "observed", level, "genuine", "impostor"]
        table = Table(f"Probabilities at a prior of {self.prior:.4g}", headers, rows)
        methods = dict.fromkeys(found.interval.method for found in self.reliability)
        note = Note(f"intervals: {'; '.join(methods)}")
        lead = (
            f"{self.calibration.method} calibration, fitted on {fitted:,} people and tested on "
            f"{judged:,} others"
        )
        blocks = [Facts(facts), figure, table, note]
        return [Section("calibration", "Calibration", blocks, lead)]

    def plot_reliability(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the reliability diagram into axes (new ones by default) and return them."""
        return plot(self._drawing(), ax)

    def _drawing(self) -> Drawing:
        bins = self.reliability
        return figures.reliability(
            [found.predicted for found in bins],
            [found.observed for found in bins],
            [found.interval.low for found in bins],
            [found.interval.high for found in bins],
            [found.genuine + found.impostor for found in bins],
        )


def calibrate(
    embeddings: Embeddings | ArrayLike,
    identities: ArrayLike | None = None,
    *,
    method: str = "logistic",
    similarity: str | None = None,
    pairs: PairList | str | Path | None = None,
    prior: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    fingerprint: str | None = None,
    dataset: str = "",
    trained_on: pd.DataFrame | None = None,
) -> CalibrationResult:
    """Fit a calibration on the pairs of half of the people and test it on those of the others.

    Args:
        embeddings: Images or templates, as for `verification`; failed images are excluded.
        identities: [N], if `embeddings` are vectors [N, D].
        method: "logistic" or "isotonic".
        similarity: "cosine", "euclidean" or "dot"; by default the metric of the model's head.
        pairs: A pair list or its file; by default all pairs.
        prior: Share of genuine pairs in operation, for the predicted probabilities; by default
            that of the test trials. Costs do not depend on it.
        level: Confidence level of the intervals.
        seed: Seed of the split of people into halves.
        fingerprint, dataset, trained_on: As for `verification`.

    Raises:
        EvaluationError: An unknown method, a prior outside (0, 1), or a half without genuine or
            impostor trials; also the input errors of `verification`.
    """
    rows = as_set(
        embeddings,
        identities,
        similarity=similarity,
        fingerprint=fingerprint,
        dataset=dataset,
        trained_on=trained_on,
    )
    rows = templates_for(rows, pairs)
    request = Request(rows, pairs=pairs, similarity=similarity)
    if pairs is not None:
        scored, overlap = listed(request)
        assert scored.codes is not None  # as_set requires identities
        trials = JudgedTrials(scored.scores, scored.same, scored.codes)
        result = calibrate_trials(trials, method=method, prior=prior, level=level, seed=seed)
    else:
        held = rows if rows.acquired.all() else rows.select(rows.acquired)
        names = held.identities
        people = np.unique(names)
        stream(seed, "calibration").shuffle(people)
        halves = people[: len(people) // 2], people[len(people) // 2 :]
        fitted, judged = (_scores(held, names, half, request.metric) for half in halves)
        result = judge(fitted, judged, method=method, prior=prior, level=level)
        overlap = find_overlap(held.trained_on, people, None)
    return replace(
        result,
        similarity=request.metric,
        kind=kind_of(rows),
        templates=templates_of(rows),
        dataset=rows.meta.dataset,
        fingerprint=rows.meta.fingerprint,
        images=images_of(rows),
        warnings=[str(overlap)] if overlap else [],
    )


def calibrate_trials(
    trials: JudgedTrials,
    *,
    method: str = "logistic",
    prior: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> CalibrationResult:
    """Fit on the trials within half of the people and test on those within the other half.

    Trials between the halves are excluded. The rest is as for `calibrate`.
    """
    people = np.unique(np.concatenate(trials.people))
    stream(seed, "calibration").shuffle(people)
    first = np.isin(trials.people, people[: len(people) // 2])
    parts = [
        JudgedTrials(
            trials.scores[inside],
            trials.same[inside],
            (trials.people[0][inside], trials.people[1][inside]),
        )
        for inside in (first.all(axis=0), ~first.any(axis=0))
    ]
    for part in parts:
        check_both_classes(int(part.same.sum()), int((~part.same).sum()))
    return judge(parts[0], parts[1], method=method, prior=prior, level=level)


def judge(
    fitted: JudgedTrials,
    judged: JudgedTrials,
    *,
    method: str = "logistic",
    prior: float | None = None,
    level: float = 0.95,
) -> CalibrationResult:
    """Fit on some trials and test on trials of other people; see `calibrate`."""
    calibration = fit(fitted.scores, fitted.same, method)
    chosen = float(judged.same.mean()) if prior is None else prior
    probabilities = calibration.probability(judged.scores, chosen)
    return CalibrationResult(
        calibration,
        cllr(calibration.llr(judged.scores), judged.same),
        cllr_min(judged.scores, judged.same),
        chosen,
        reliability(probabilities, judged.same, judged.people, chosen, level=level),
        (_people(fitted), _people(judged)),
        (_counted(fitted), _counted(judged)),
    )


def reliability(
    probabilities: Doubles,
    same: Bools,
    people: tuple[Numbers, Numbers],
    prior: float,
    *,
    bins: int = _BINS,
    level: float = 0.95,
) -> list[ReliabilityBin]:
    """Compare predicted with observed shares in bins of equal width, without empty bins.

    Args:
        probabilities: float64 [T], predicted at `prior`.
        same: Bool [T].
        people: Integers [T] each, the two people of each trial.
        prior: Weight of the genuine class; the impostor class has weight 1 - prior.
        bins: Number of bins between 0 and 1.
        level: Confidence level of the intervals.
    """
    where = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    ours, theirs = prior / same.sum(), (1 - prior) / (~same).sum()  # the weight of one trial
    shift = np.log(ours / theirs)
    found = []
    for number in np.unique(where):
        inside = np.flatnonzero(where == number)
        hits = same[inside]
        counted = share_interval(hits, (people[0][inside], people[1][inside]), level)
        low, high = (float(expit(logit(end) + shift)) for end in (counted.low, counted.high))
        found.append(
            ReliabilityBin(
                predicted=float(
                    np.average(probabilities[inside], weights=np.where(hits, ours, theirs))
                ),
                observed=float(expit(logit(hits.mean()) + shift)),
                interval=counted.model_copy(update={"low": low, "high": high}),
                genuine=int(hits.sum()),
                impostor=int((~hits).sum()),
            )
        )
    return found


def _people(trials: JudgedTrials) -> int:
    return len(np.unique(np.concatenate(trials.people)))


def _counted(trials: JudgedTrials) -> TrialCounts:
    genuine = int(trials.same.sum())
    return TrialCounts(genuine=genuine, impostor=len(trials.same) - genuine)


def _scores(
    rows: EmbeddingSet, names: Names, people: Names, similarity: Similarity
) -> JudgedTrials:
    """Return the scores of all pairs within a set of people that fits in memory."""
    sizes = np.unique(names, return_counts=True)
    counts = dict(zip(*(part.tolist() for part in sizes), strict=True))
    total = np.cumsum([counts[name] for name in people.tolist()])
    chosen = people[: max(2, int(np.searchsorted(total * (total - 1) / 2, WHOLE)))]
    pairs, _ = all_pairs([rows.select(np.isin(names, chosen))], similarity)
    check_both_classes(pairs.genuine, pairs.impostor)
    genuine = PairScores.join(list(pairs.genuine_scores()))
    both = PairScores.join([genuine, *pairs.impostor_scores()])
    codes = pairs.first.codes
    return JudgedTrials(
        both.scores, np.arange(len(both)) < len(genuine), (codes[both.a], codes[both.b])
    )
