"""The result of a bake-off: figures per head, and differences from the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facever.deprecated import Former, former_names
from facever.errors import EvaluationError
from facever.evaluation.statistics.paired import (
    Difference,
    holm,
    mean_interval,
    over_people,
    over_seeds,
)
from facever.operating_point import Interval
from facever.render import figures
from facever.render.blocks import (
    Block,
    Cell,
    Facts,
    Figure,
    Note,
    Number,
    Section,
    Table,
)
from facever.render.numbers import rate
from facever.render.result import Result
from facever.render.values import Record
from facever.studies.bakeoff.judging import RunFigures

__getattr__ = former_names(
    __name__, {"RunRecord": Former(f"{__name__}:BakeoffRun", f"{__name__}.BakeoffRun")}
)

_FEW = 30


@dataclass(frozen=True)
class BakeoffRun(Record):
    """One run with its figures.

    Attributes:
        label: The contender.
        seed: Seed of the run.
        path: The run folder.
        judged: Its figures on the test part.
        updates, seconds: Number of updates and time of the training.
        curve_name: Name of the figure in the learning curve.
        curve: Updates and values.
    """

    label: str
    seed: int
    path: str
    judged: RunFigures
    updates: int
    seconds: float
    curve_name: str
    curve: list[tuple[int, float]]

    json_keys = (
        "label seed run=path updates seconds threshold=judged.threshold figures=judged.figures "
        "curve.of=curve_name curve.points=curve"
    )


@dataclass(frozen=True)
class ReferenceRecord(Record):
    """A model that was not trained here, measured on the same trials.

    Attributes:
        label: Name given by the user.
        fingerprint: Fingerprint of the model.
        judged: Its figures on the test part.
        overlap: Overlap of its training with the test people, as text.
        differences: By figure: the model minus the mean of the baseline's seeds, over people.
    """

    label: str
    fingerprint: str
    judged: RunFigures
    overlap: str
    differences: dict[str, Difference] = field(default_factory=dict)

    json_keys = (
        "label fingerprint metric=judged.metric threshold=judged.threshold figures=judged.figures "
        "overlap minus_baseline_over_people=differences"
    )


@dataclass(frozen=True)
class HeadFigures(Record):
    """A contender over its seeds.

    Attributes:
        label: Name given by the user.
        metric: Similarity of its embeddings.
        means: Mean of each figure.
        intervals: Student's t over seeds; None for a single seed.
        seconds: Mean time of the trainings.
    """

    label: str
    metric: str
    means: dict[str, float]
    intervals: dict[str, Interval | None]
    seconds: float

    json_keys = "label metric seconds figures"

    @property
    def figures(self) -> dict[str, Any]:
        """The mean and its interval, by figure."""
        return {
            name: {"mean": mean, "interval": self.intervals[name]}
            for name, mean in self.means.items()
        }


@dataclass(frozen=True)
class Verdict(Record):
    """Difference of one contender from the baseline, for one figure.

    Attributes:
        label, figure: The contender and the figure.
        seeds: Difference over trainings with different seeds; None for a single seed.
        people: Difference over test identities.
        corrected: Holm's p values of both, over the contenders of this figure.
        level: A corrected p below 1 - level is resolved.
    """

    label: str
    figure: str
    seeds: Difference | None
    people: Difference
    corrected: dict[str, float | None]
    level: float

    json_keys = "label figure over_seeds=seeds over_people=people p_holm=corrected resolved"

    @property
    def resolved(self) -> dict[str, bool]:
        """Whether the difference from zero is resolved, over "seeds" and over "people"."""
        return {over: p is not None and p < 1 - self.level for over, p in self.corrected.items()}

    @property
    def words(self) -> str:
        """The verdict as text."""
        over = [name for name, yes in self.resolved.items() if yes]
        if len(over) == 2:
            return "resolved"
        return f"over {over[0]} only" if over else "not resolved"


@dataclass(frozen=True)
class BakeoffResult(Result):
    """The result of a bake-off.

    Attributes:
        test: Name of the test part, given by the user.
        baseline: The contender that all others are compared with.
        level: Confidence level of the intervals.
        genuine, impostor, people: Test trials and the people in them.
        runs: One for each contender and seed.
        heads: One for each contender.
        verdicts: One for each other contender and figure.
        refused: By FAR that the trials cannot support: the impostor trials that it needs.
        references: Models that were not trained here, measured on the same trials.
    """

    test: str
    baseline: str
    level: float
    genuine: int
    impostor: int
    people: int
    runs: list[BakeoffRun]
    heads: list[HeadFigures]
    verdicts: list[Verdict]
    refused: dict[float, int]
    references: list[ReferenceRecord]

    @property
    def figures(self) -> list[str]:
        """The names of the figures that every run has."""
        return list(self.heads[0].means)

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({run.seed for run in self.runs})

    def of(self, label: str) -> list[BakeoffRun]:
        """Return a contender's runs, in the order of their seeds."""
        return sorted((run for run in self.runs if run.label == label), key=lambda run: run.seed)

    json_keys = (
        "test baseline level seeds trials.genuine=genuine trials.impostor=impostor people "
        "refused=_refused heads differences=verdicts references runs"
    )

    def describe(self) -> list[Section]:
        """Return the figures of each head, the differences, curves and runs."""
        references = [self._references()] if self.references else []
        return [
            self._heads(), self._differences(), *references, self._curves(), self._all_runs(),
        ]  # fmt: skip

    @property
    def _refused(self) -> list[dict[str, float]]:
        return [{"far_target": far, "needs": needs} for far, needs in self.refused.items()]

    def _heads(self) -> Section:
        rows: list[list[Cell]] = [
            [
                head.label,
                head.metric,
                *(figure_cell(head, name) for name in self.figures),
                Number(f"{head.seconds:.0f}", head.seconds),
            ]
            for head in self.heads
        ]
        headers = ["head", "compared by", *self.figures, "seconds"]
        notes = [Note(note, warning=True) for note in self.notes()]
        blocks = [Table("", headers, rows), *notes]
        return Section("heads", "Results of each head", blocks, self.summary())

    def _differences(self) -> Section:
        blocks: list[Block] = [Note(self.how_compared())]
        for name in self.figures:
            verdicts = [verdict for verdict in self.verdicts if verdict.figure == name]
            bars = [
                figures.DifferenceBar(
                    verdict.label, kind, found.mean, found.interval.low, found.interval.high
                )
                for verdict in verdicts
                for kind, found in (("over seeds", verdict.seeds), ("over people", verdict.people))
                if found is not None
            ]
            blocks.append(
                Figure(
                    name,
                    figures.differences(bars, name, self.baseline),
                    "If an interval contains zero, the difference can be due to this source of "
                    "chance "
                    "(seeds or people).",
                )
            )
        headers = ["figure", "head", "over seeds", "p (Holm)", "over people", "p (Holm)", "verdict"]
        rows = [
            [
                verdict.figure,
                verdict.label,
                difference_text(verdict.seeds),
                p_text(verdict.corrected["seeds"]),
                difference_text(verdict.people),
                p_text(verdict.corrected["people"]),
                verdict.words,
            ]
            for verdict in self.verdicts
        ]
        blocks.append(Table(f"Each head minus {self.baseline}", headers, rows))
        return Section("differences", f"Differences from {self.baseline}", blocks)

    def _references(self) -> Section:
        rows: list[list[Cell]] = [
            [
                one.label,
                one.judged.metric,
                *(rate(one.judged.figures[name]) for name in self.figures),
                *(difference_text(one.differences[name]) for name in self.figures),
            ]
            for one in self.references
        ]
        minus = [f"{name}, minus {self.baseline}" for name in self.figures]
        headers = ["model", "compared by", *self.figures, *minus]
        overlaps = [Note(f"{one.label}, training data: {one.overlap}") for one in self.references]
        note = Note(
            "Models that were not trained here, on the same trials. Their training data differs, "
            "so the differences do not rank heads. Intervals: bootstrap of test identities."
        )
        blocks: list[Block] = [note, Table("", headers, rows), *overlaps]
        return Section("references", "Reference models", blocks)

    def _curves(self) -> Section:
        shown = {head.label: [run.curve for run in self.of(head.label)] for head in self.heads}
        shown = {label: curves for label, curves in shown.items() if all(curves)}
        block: Block = Note("No learning curve was logged.")
        if shown:
            drawing = figures.learning_curves(shown, self.runs[0].curve_name)
            caption = "Lines: mean over the seeds. Bands: range of the seeds."
            block = Figure("Learning curves", drawing, caption)
        return Section("curves", "Learning curves", [block])

    def _all_runs(self) -> Section:
        rows: list[list[Cell]] = [
            [
                run.label,
                str(run.seed),
                *(rate(run.judged.figures[name]) for name in self.figures),
                Number(f"{run.seconds:.0f}", run.seconds),
                run.path,
            ]
            for run in self.runs
        ]
        facts = Facts([("test", self.test), ("confidence", f"{self.level:.0%}")])
        headers = ["head", "seed", *self.figures, "seconds", "run"]
        return Section("runs", "Runs", [facts, Table("All runs", headers, rows, folded=True)])

    def summary(self) -> str:
        """Return seeds, test trials and intervals in one line."""
        return (
            f"{len(self.seeds)} seeds; test {self.test}: {self.genuine:,} genuine and "
            f"{self.impostor:,} impostor trials of {self.people:,} people; means and "
            f"{self.level:.0%} intervals over seeds (Student t)"
        )

    def notes(self) -> list[str]:
        """Return warnings for the reader."""
        notes = [
            f"FAR {far:g} is refused: it needs {n:,} impostor trials"
            for far, n in self.refused.items()
        ]
        if self.people < _FEW:
            notes.append(
                f"only {self.people} test people: differences over people can hardly be resolved"
            )
        return notes

    def how_compared(self) -> str:
        """Return the methods of the intervals of differences in one line."""
        return (
            "differences: over seeds, Student t on paired differences by seed; over people, "
            "bootstrap of test identities, the same for both heads, mean over seeds; p by Holm "
            "over the heads of a figure, intervals not corrected; accuracy is "
            "(TAR + 1 - FAR) / 2 at a threshold that was not chosen on test people"
        )


def figure_cell(head: HeadFigures, name: str) -> Number:
    """Return "0.5450 ± 0.0120", or only the mean for a single seed."""
    interval = head.intervals[name]
    reach = "" if interval is None else f" ± {(interval.high - interval.low) / 2:.4f}"
    return Number(f"{head.means[name]:.4f}{reach}", head.means[name])


def difference_text(difference: Difference | None) -> str:
    """Return "+0.012 [+0.003, +0.021]"."""
    if difference is None:
        return "-"
    low, high = difference.interval.low, difference.interval.high
    return f"{difference.mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def p_text(p: float | None) -> str:
    """Return a p value with three decimals."""
    return "-" if p is None else f"{p:.3f}" if p >= 5e-4 else "< 0.001"


def compare_heads(
    runs: Sequence[BakeoffRun],
    test: str,
    baseline: str,
    level: float = 0.95,
    references: Sequence[ReferenceRecord] = (),
) -> BakeoffResult:
    """Compare every contender with the baseline, over seeds and over people.

    References, which have no seeds, are compared with the mean of the baseline's seeds.

    Raises:
        EvaluationError: Runs have different trials and cannot be paired.
    """
    first = runs[0].judged
    judged = {run.path: run.judged for run in runs} | {one.label: one.judged for one in references}
    for name, other in judged.items():
        if not np.array_equal(other.per_person, first.per_person):
            raise EvaluationError(
                f"{name} and {runs[0].path} have different trials: an image could be embedded by "
                "only one of them"
            )
    people = int((first.per_person > 0).sum())
    labels = list(dict.fromkeys(run.label for run in runs))
    parts = {
        label: sorted((run for run in runs if run.label == label), key=lambda run: run.seed)
        for label in labels
    }
    others = [label for label in labels if label != baseline]
    verdicts = [
        verdict
        for figure in first.figures
        for verdict in _verdicts(parts, baseline, others, figure, people, level)
    ]
    return BakeoffResult(
        test=test,
        baseline=baseline,
        level=level,
        genuine=first.genuine,
        impostor=first.impostor,
        people=people,
        runs=list(runs),
        heads=[_summarised(label, parts[label], level) for label in labels],
        verdicts=verdicts,
        refused=first.refused,
        references=[_compared(one, parts[baseline], people, level) for one in references],
    )


def _compared(
    reference: ReferenceRecord, baseline: Sequence[BakeoffRun], people: int, level: float
) -> ReferenceRecord:
    differences = {}
    for name, value in reference.judged.figures.items():
        base = [run.judged for run in baseline]
        difference = float(value - np.mean([run.figures[name] for run in base]))
        draws = reference.judged.draws[name] - np.mean([run.draws[name] for run in base], axis=0)
        differences[name] = over_people(draws, difference, people, level)
    return replace(reference, differences=differences)


def _summarised(label: str, runs: Sequence[BakeoffRun], level: float) -> HeadFigures:
    values = {name: [run.judged.figures[name] for run in runs] for name in runs[0].judged.figures}
    return HeadFigures(
        label=label,
        metric=runs[0].judged.metric,
        means={name: float(np.mean(found)) for name, found in values.items()},
        intervals={name: mean_interval(found, level) for name, found in values.items()},
        seconds=float(np.mean([run.seconds for run in runs])),
    )


def _verdicts(
    parts: dict[str, list[BakeoffRun]],
    baseline: str,
    others: Sequence[str],
    figure: str,
    people: int,
    level: float,
) -> list[Verdict]:
    base = parts[baseline]
    by_seeds: list[Difference | None] = []
    by_people: list[Difference] = []
    for label in others:
        values = [[run.judged.figures[figure] for run in runs] for runs in (base, parts[label])]
        draws = [
            np.mean([run.judged.draws[figure] for run in runs], axis=0)
            for runs in (base, parts[label])
        ]
        by_seeds.append(over_seeds(values[0], values[1], level))
        difference = float(np.mean(values[1]) - np.mean(values[0]))
        by_people.append(over_people(draws[1] - draws[0], difference, people, level))
    seed_p = [found.p for found in by_seeds if found is not None]
    corrected: list[float | None] = list(holm(seed_p)) if seed_p else [None] * len(others)
    return [
        Verdict(label, figure, seeds, over, {"seeds": p_seeds, "people": p_people}, level)
        for label, seeds, over, p_seeds, p_people in zip(
            others, by_seeds, by_people, corrected, holm([d.p for d in by_people]), strict=True
        )
    ]
