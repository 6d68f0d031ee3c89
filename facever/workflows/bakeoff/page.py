"""The page of a bake-off."""

from facever.report import figures
from facever.report.figures.comparison import DifferenceBar
from facever.report.numbers import rate
from facever.report.page import Block, Cell, Facts, Figure, Note, Report, Section, Table, Tile
from facever.report.training import figure_name
from facever.workflows.bakeoff.result import BakeoffResult, difference_text, figure_text, p_text


def report(result: BakeoffResult) -> Report:
    """Return the page: figures of the heads, differences from the baseline, learning curves."""
    found = [v for v in result.verdicts if all(v.resolved.values())]
    count = f"{len(found)} of {len(result.verdicts)} differences from {result.baseline} resolved"
    tiles = [
        Tile("heads", str(len(result.heads)), f"baseline {result.baseline}"),
        Tile("seeds", str(len(result.seeds)), "the same for every head"),
        Tile("test people", f"{result.people:,}", result.test),
        Tile("impostor trials", f"{result.impostor:,}", f"{result.genuine:,} genuine"),
    ]
    sections = [_heads(result), _differences(result), _curves(result), _runs(result)]
    return Report(
        title=f"Bake-off of {len(result.heads)} heads",
        verdict=count,
        meaning=(
            "A difference is resolved when neither other seeds nor other test people are likely "
            "to turn it into none."
        ),
        tiles=tiles,
        sections=sections,
    )


def _heads(result: BakeoffResult) -> Section:
    rows: list[list[Cell]] = [
        [
            head.label,
            head.metric,
            *(figure_text(head, name) for name in result.figures),
            f"{head.seconds:.0f} s",
        ]
        for head in result.heads
    ]
    headers = ["head", "compared by", *map(_named, result.figures), "training"]
    blocks: list[Block] = [Table(result.summary(), headers, rows)]
    blocks += [Note(note, warning=True) for note in result.notes()]
    return Section("heads", "What each head reached", blocks)


def _differences(result: BakeoffResult) -> Section:
    blocks: list[Block] = [Note(result.how_compared())]
    for name in result.figures:
        verdicts = [verdict for verdict in result.verdicts if verdict.figure == name]
        bars = []
        for verdict in verdicts:
            kinds = (("over seeds", verdict.seeds), ("over people", verdict.people))
            bars += [
                DifferenceBar(verdict.label, kind, d.mean, d.interval.low, d.interval.high)
                for kind, d in kinds
                if d is not None
            ]
        blocks.append(
            Figure(
                _named(name),
                figures.differences(bars, _named(name), result.baseline),
                "Where an interval holds zero, that source of chance alone can explain it.",
            )
        )
    rows: list[list[Cell]] = [
        [
            _named(verdict.figure),
            verdict.label,
            difference_text(verdict.seeds),
            p_text(verdict.corrected["seeds"]),
            difference_text(verdict.people),
            p_text(verdict.corrected["people"]),
            verdict.words,
        ]
        for verdict in result.verdicts
    ]
    headers = ["figure", "head", "over seeds", "p (Holm)", "over people", "p (Holm)", "verdict"]
    blocks.append(Table(f"Each head minus {result.baseline}", headers, rows))
    return Section("differences", "Which differences are resolved", blocks)


def _curves(result: BakeoffResult) -> Section:
    name = result.runs[0].curve_name
    shown = {head.label: [run.curve for run in result.of(head.label)] for head in result.heads}
    shown = {label: curves for label, curves in shown.items() if all(curves)}
    if not shown:
        return Section("curves", "Learning curves", [Note("No curve was logged.")])
    drawn = Figure(
        "Learning curves",
        figures.learning_curves(shown, name),
        "Mean over the seeds; behind it the range of the seeds.",
    )
    return Section("curves", "Learning curves", [drawn])


def _runs(result: BakeoffResult) -> Section:
    rows: list[list[Cell]] = [
        [
            run.label,
            str(run.seed),
            *(rate(run.judged.figures[name]) for name in result.figures),
            f"{run.seconds:.0f} s",
            run.path,
        ]
        for run in result.runs
    ]
    headers = ["head", "seed", *map(_named, result.figures), "training", "run"]
    facts = Facts([("test", result.test), ("confidence", f"{result.level:.0%}")])
    return Section("runs", "Every run", [facts, Table("All runs", headers, rows, folded=True)])


def _named(figure: str) -> str:
    return figure_name(figure) if "@" in figure else figure
