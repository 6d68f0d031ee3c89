"""One page for several models: their curves over each other, their rates in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from facever.evaluation.one_to_one.compare import ComparisonResult
from facever.evaluation.one_to_one.result import VerificationResult
from facever.report import accuracy, figures
from facever.report.numbers import (
    count,
    far,
    far_text,
    interval_text,
    rate,
    rate_difference,
    rate_text,
)
from facever.report.page import Block, Cell, Figure, Note, Report, Section, Table, Tile


@dataclass(frozen=True)
class Contestant:
    """One model on the page.

    Args:
        name: As the page calls it.
        result: What was measured.
        against_first: The paired comparison with the first model; None for the first itself, and
            where the trials are not the same.
        why_not: The reason, where there is no comparison.
    """

    name: str
    result: VerificationResult
    against_first: ComparisonResult | None = None
    why_not: str = ""


def side_by_side(contestants: Sequence[Contestant]) -> Report:
    """Return the report of several models.

    Args:
        contestants: Two or more; the first is the one that the others are compared with.
    """
    first = contestants[0]
    curves = [accuracy.curve_of(each.result, each.name) for each in contestants]
    blocks: list[Block] = [
        Figure(
            "ROC",
            figures.roc(curves),
            "Pairs of one person that are accepted (upwards) against pairs of two people that are "
            "accepted too (to the right, in powers of ten). Bars and bands are intervals.",
        ),
        Figure(
            "DET",
            figures.det(curves),
            "The same as two error rates, on stretched axes. Lower left is better.",
        ),
        _rates(contestants),
    ]
    compared = [each for each in contestants[1:] if each.against_first is not None]
    if compared:
        blocks.append(_differences(first.name, compared))
        blocks.append(
            Note(
                "A difference is resolved when its interval, of the same draws of people for both "
                "models, does not hold zero. With several models some intervals miss by chance."
            )
        )
    blocks += [
        Note(f"{each.name} is not compared with {first.name}: {each.why_not}.", warning=True)
        for each in contestants[1:]
        if each.against_first is None
    ]
    blocks += [
        Note(f"{each.name}: {warning}", warning=True)
        for each in contestants
        for warning in each.result.warnings
    ]
    verdict, meaning = _verdict(first, compared)
    return Report(
        title=f"{len(contestants)} models side by side",
        verdict=verdict,
        meaning=meaning,
        tiles=[_tile(each) for each in contestants],
        sections=[Section("models", "Models side by side", blocks)],
    )


def _rates(contestants: Sequence[Contestant]) -> Table:
    rows: list[list[Cell]] = []
    for each in contestants:
        trials = each.result.trials
        for point in each.result.operating_points:
            rows.append(
                [
                    each.name,
                    far(point.far_target),
                    far(point.far),
                    rate(point.tar),
                    rate(point.interval.low),
                    rate(point.interval.high),
                    count(trials.genuine),
                    count(trials.impostor),
                ]
            )
    headers = ["model", "FAR asked for", "FAR", "TAR", "low", "high"]
    return Table("Rates of each model.", [*headers, "genuine pairs", "impostor pairs"], rows)


def _differences(first: str, compared: Sequence[Contestant]) -> Table:
    rows: list[list[Cell]] = []
    for each in compared:
        assert each.against_first is not None
        for point in each.against_first.points:
            rows.append(
                [
                    each.name,
                    far(point.first.far_target),
                    rate_difference(point.second.tar - point.first.tar),
                    rate_difference(point.difference.low),
                    rate_difference(point.difference.high),
                    "resolved" if point.resolved else "not resolved",
                ]
            )
    return Table(
        f"TAR of each model minus TAR of {first}, on the same pairs.",
        ["model", "FAR asked for", "difference", "low", "high", ""],
        rows,
    )


def _tile(contestant: Contestant) -> Tile:
    points = contestant.result.operating_points
    if not points:
        return Tile(contestant.name, rate(contestant.result.auc.value), "AUC")
    point = points[0]
    interval = interval_text(point.interval.low, point.interval.high)
    name = f"TAR at FAR {far_text(point.far_target)} {interval}"
    return Tile(contestant.name, rate(point.tar), name)


def _verdict(first: Contestant, compared: Sequence[Contestant]) -> tuple[str, str]:
    """Say at the first FAR which models differ from the first one."""
    found = [
        (each.name, each.against_first.points[0])
        for each in compared
        if each.against_first is not None and each.against_first.points
    ]
    if not found:
        return "No two models were compared on the same pairs", "Each stands for itself."
    said = [
        f"{name} {point.second.tar - point.first.tar:+.3f} "
        f"({'resolved' if point.resolved else 'not resolved'})"
        for name, point in found
    ]
    point = found[0][1]
    return (
        f"TAR at FAR {far_text(point.first.far_target)} against {first.name} "
        f"({rate_text(point.first.tar)}): {', '.join(said)}",
        "How many more pairs of one person are accepted than by the first model, at the same rate "
        "of false accepts.",
    )
