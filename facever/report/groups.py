"""The section of error rates by group, at one threshold for all."""

from collections.abc import Sequence

from facever.evaluation.one_to_one.groups import GroupRates
from facever.evaluation.one_to_one.result import VerificationResult
from facever.evaluation.operating_point import Interval
from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.report import figures
from facever.report.numbers import count, far, far_text, marked_few, rate, rate_text
from facever.report.page import Block, Cell, Figure, Note, Section, Table

_DRAWN = 24  # rows of a figure


def groups_section(result: VerificationResult) -> Section:
    """Show FMR and FNMR within and across the groups of every column that was asked for."""
    point = result.groups_at
    assert point is not None, "a result with groups says at which point"
    blocks: list[Block] = []
    for place, (column, rates) in enumerate(result.groups.items(), start=1):
        blocks += _figures(f"groups-{place}", column, rates, point.far, 1 - point.tar)
        blocks.append(_table(column, rates))
    every = [found for rates in result.groups.values() for found in rates]
    if any(min(found.false_accepts, found.false_rejects) < FEW_ERRORS for found in every):
        blocks.append(
            Note(
                f"Marked (few): fewer than {FEW_ERRORS} errors, which do not carry a rate. Groups "
                "differ only where their intervals lie apart.",
                warning=True,
            )
        )
    lead = (
        f"All at one threshold, {point.threshold:.4f}, that of FAR {far_text(point.far_target)} "
        "over all pairs; their FMR there is "
        f"{far_text(point.far)} and their FNMR {rate_text(1 - point.tar)}."
    )
    return Section("groups", "Groups", blocks, lead)


def _figures(
    name: str, column: str, rates: Sequence[GroupRates], fmr: float, fnmr: float
) -> list[Block]:
    """Draw FMR of all pairs of groups and FNMR of those that have genuine trials."""
    drawn: list[Block] = []
    for title, overall in (("FMR", fmr), ("FNMR", fnmr)):
        rows = [
            (_name(found), value, interval)
            for found in rates
            for value, interval in [_rate(found, title)]
            if value is not None and interval is not None
        ]
        named = "Strangers accepted" if title == "FMR" else "Pairs of one person rejected"
        if len(rows) > _DRAWN:
            named += f"; the first {_DRAWN} of {len(rows)}, the table has all"
        rows = rows[:_DRAWN]
        if rows:
            drawn.append(
                Figure(
                    f"{title} by {column}",
                    figures.group_rates(
                        f"{name}-{title.lower()}",
                        [row[0] for row in rows],
                        [row[1] for row in rows],
                        [row[2].low for row in rows],
                        [row[2].high for row in rows],
                        title,
                        overall,
                    ),
                    f"{named}.",
                )
            )
    return drawn


def _table(column: str, rates: Sequence[GroupRates]) -> Table:
    rows: list[list[Cell]] = []
    for found in rates:
        cells: list[Cell] = [_name(found)]
        for title, errors in (("FMR", found.false_accepts), ("FNMR", found.false_rejects)):
            value, interval = _rate(found, title)
            if value is None or interval is None:
                cells += ["no pairs", "", ""]
                continue
            shown = far(value) if title == "FMR" else rate(value)
            cells += [
                marked_few(shown, errors),
                rate(interval.low),
                rate(interval.high),
            ]
        rows.append([*cells, count(found.impostor), count(found.genuine)])
    return Table(
        f"By {column}: within a group, and across two. Intervals: {_methods(rates)}.",
        [column, "FMR", "low", "high", "FNMR", "low", "high", "impostor pairs", "genuine pairs"],
        rows,
        folded=len(rows) > _DRAWN,
    )


def _methods(rates: Sequence[GroupRates]) -> str:
    found = [(title, _rate(each, title)[1]) for title in ("FMR", "FNMR") for each in rates]
    named = dict.fromkeys(f"{title} {one.method}" for title, one in found if one is not None)
    return "; ".join(named)


def _rate(found: GroupRates, title: str) -> tuple[float | None, Interval | None]:
    if title == "FMR":
        value = found.false_accepts / found.impostor if found.impostor else None
        return value, found.fmr_interval
    value = found.false_rejects / found.genuine if found.genuine else None
    return value, found.fnmr_interval


def _name(found: GroupRates) -> str:
    return found.first if found.first == found.second else f"{found.first} × {found.second}"
