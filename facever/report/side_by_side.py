"""One page for several models: their curves in one figure, their rates in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from facever.evaluation.cells import FEW, errors, rate_and_interval, resolved_text
from facever.evaluation.one_to_one.compare import ComparedPoint, ComparisonResult
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.render import figures
from facever.render.blocks import Block, Cell, Figure, Note, Section, Table
from facever.render.numbers import (
    count,
    difference,
    differences,
    far,
    far_text,
    interval_text,
    rate_text,
    short_rate,
)
from facever.render.page import Report, Tile
from facever.report import accuracy


@dataclass(frozen=True)
class Contestant:
    """One model on the page.

    Args:
        name: Name on the page.
        result: The verification result.
        against_first: The paired comparison with the first model; None for the first itself and
            if the trials differ.
        why_not: The reason if there is no comparison.
    """

    name: str
    result: VerificationResult
    against_first: ComparisonResult | None = None
    why_not: str = ""


def side_by_side(contestants: Sequence[Contestant]) -> Report:
    """Return the report of several models.

    Args:
        contestants: Two or more; the first is the baseline.
    """
    first = contestants[0]
    systems = {each.name: each.result for each in contestants}
    blocks: list[Block] = [
        Figure(
            "ROC",
            figures.roc(systems),
            "Genuine pairs accepted (TAR) against impostor pairs accepted (FAR, logarithmic axis). "
            "Bars and bands are confidence intervals.",
        ),
        Figure(
            "DET",
            figures.det(systems),
            "FNMR against FMR on probit axes. Lower left is better.",
        ),
        _rates(contestants),
    ]
    compared = [each for each in contestants[1:] if each.against_first is not None]
    if compared:
        blocks.append(_differences(first.name, compared))
        blocks.append(
            Note(
                "A difference is resolved if its interval excludes zero. Both models are measured "
                "on "
                "the same draws of people. With several models, some intervals miss the true "
                "value by chance."
            )
        )
    blocks += [
        Note(f"{each.name} is not compared with {first.name}: {each.why_not}.", warning=True)
        for each in contestants[1:]
        if each.against_first is None
    ]
    points = [point for each in contestants for point in each.result.operating_points]
    if any(point.few_false_accepts or point.few_false_rejects for point in points):
        blocks.append(FEW)
    blocks += [note for each in contestants for note in _notes(each)]
    verdict, meaning = _verdict(first, compared)
    known = [
        f"{each.name}: {each.result.overlap.brief}"
        for each in contestants
        if each.result.overlap.brief
    ]
    return Report(
        title=f"{len(contestants)} models side by side",
        verdict="; ".join([verdict, *known]),
        meaning=meaning,
        tiles=[_tile(each) for each in contestants],
        sections=[Section("models", "Models side by side", blocks)],
        data={
            "models": [
                {
                    "name": each.name,
                    "verification": each.result.to_dict(),
                    "against_first": each.against_first and each.against_first.to_dict(),
                    "why_not": each.why_not or None,
                }
                for each in contestants
            ]
        },
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
                    *rate_and_interval(point.tar, point.interval),
                    errors(point.false_accepts),
                    count(trials.impostor),
                    errors(point.false_rejects),
                    count(trials.genuine),
                    count(each.result.failures.failed),
                ]
            )
    headers = ["model", "FAR target", "FAR", "TAR", "interval", "false accepts"]
    headers += ["impostor pairs", "false rejects", "genuine pairs", "images not embedded"]
    return Table("Rates of each model, on the images that it could embed.", headers, rows)


def _differences(first: str, compared: Sequence[Contestant]) -> Table:
    rows: list[list[Cell]] = []
    for each in compared:
        assert each.against_first is not None
        for point in each.against_first.points:
            rows.append(
                [
                    each.name,
                    far(point.first.far_target),
                    difference(point.second.tar - point.first.tar),
                    differences(point.difference.low, point.difference.high),
                    _judged(point),
                ]
            )
    return Table(
        f"TAR of each model minus TAR of {first}, on the pairs that both could embed.",
        ["model", "FAR target", "difference", "interval", "verdict"],
        rows,
    )


def _judged(point: ComparedPoint) -> str:
    """Return whether a difference is resolved, and whether it is based on few errors."""
    return f"{resolved_text(point.difference)}{' (few)' if point.few else ''}"


def _notes(each: Contestant) -> list[Block]:
    """Return the notes and warnings of one model."""
    overlap = each.result.overlap
    needs = each.result.trials.impostor
    notes: list[Block] = [
        Note(
            f"{each.name}: overlap with the training data: {overlap}.",
            warning=overlap.identities is None or bool(overlap),
        )
    ]
    others = [text for text in each.result.warnings if text != str(overlap)]
    others += [
        f"FAR {far_text(refused.far_target)} is refused: it needs {refused.needs:,} impostor "
        f"pairs, there are {needs:,}"
        for refused in each.result.refused
    ]
    return notes + [Note(f"{each.name}: {text}", warning=True) for text in others]


def _tile(contestant: Contestant) -> Tile:
    points = contestant.result.operating_points
    known = accuracy.known_text(contestant.result.overlap)
    if not points:
        return Tile(contestant.name, short_rate(contestant.result.auc.value), f"AUC{known}")
    point = points[0]
    interval = interval_text(point.interval.low, point.interval.high)
    name = f"TAR at FAR {far_text(point.far_target)} {interval}{known}"
    return Tile(contestant.name, short_rate(point.tar), name)


def _verdict(first: Contestant, compared: Sequence[Contestant]) -> tuple[str, str]:
    """Return the headline: the differences from the first model at the first FAR."""
    found = [
        (each.name, each.against_first.points[0])
        for each in compared
        if each.against_first is not None and each.against_first.points
    ]
    if not found:
        return (
            "No two models were compared on the same pairs",
            "The results of the models cannot be compared directly.",
        )
    said = [
        f"{name} {point.second.tar - point.first.tar:+.3f} ({_judged(point)})"
        for name, point in found
    ]
    point = found[0][1]
    return (
        f"TAR at FAR {far_text(point.first.far_target)} against {first.name} "
        f"({rate_text(point.first.tar)}): {', '.join(said)}",
        "Difference in the share of accepted genuine pairs from the first model, at the same false "
        "accept rate.",
    )
