"""Cells and notes that the descriptions of several results have in common."""

from collections.abc import Iterable, Sequence

from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.operating_point import Interval
from facever.render.blocks import Cell, Note, Number, Range
from facever.render.numbers import (
    count,
    difference,
    differences,
    far,
    far_text,
    fars,
    rate,
    rates,
)

FEW = Note(f"(few): fewer than {FEW_ERRORS} errors, which do not carry a rate", warning=True)


def few(shown: Number, errors: int) -> Number:
    """Return a number, marked where fewer errors than carry a rate stand behind it."""
    return Number(f"{shown.text} (few)", shown.value) if errors < FEW_ERRORS else shown


def errors(number: int) -> Number:
    """Return a count of errors, marked where it carries no rate."""
    return few(count(number), number)


def few_notes(rows: Iterable[Sequence[Cell]]) -> list[Note]:
    """Return what the mark of few errors means, where a row has it."""
    marked = any(isinstance(cell, Number) and "(few)" in cell.text for row in rows for cell in row)
    return [FEW] if marked else []


def far_and_interval(value: float, interval: Interval) -> list[Cell]:
    """Return a small rate and its interval."""
    return [far(value), fars(interval.low, interval.high)]


def rate_and_interval(value: float, interval: Interval | None) -> list[Cell]:
    """Return a rate and its interval, empty where there is none."""
    return [rate(value), "" if interval is None else span(interval)]


def span(interval: Interval) -> Range:
    """Return the ends of an interval of a rate."""
    return rates(interval.low, interval.high)


def level_of(interval: Interval) -> str:
    """Return the head of a column of intervals."""
    return f"{interval.level:.0%}"


def by_method(intervals: Iterable[tuple[str, Interval]]) -> dict[str, list[str]]:
    """Return how intervals were made, each way once, with the names of those made so."""
    ways: dict[str, list[str]] = {}
    for name, interval in intervals:
        note = f": {interval.note}" if interval.note else ""
        ways.setdefault(f"{interval.method}{note}", []).append(name)
    return ways


def interval_notes(
    intervals: Iterable[tuple[str, Interval]], of: str = "", over: str = ""
) -> list[Note]:
    """Say how intervals were made, each way once with the names of those made so."""
    return [
        Note(f"interval of {of}{', '.join(names)}: {way}{over}")
        for way, names in by_method(intervals).items()
    ]


def refused_note(what: str, target: float, needs: int, of: str) -> Note:
    """Say that a rate is refused, and what it needs."""
    return Note(f"{what} {far_text(target)} is refused: it needs {needs:,} {of}")


def difference_headers(interval: Interval) -> list[str]:
    """Return the heads of a table of `difference_row`s."""
    return ["measure", "first", "second", "difference", level_of(interval), "verdict"]


def difference_row(name: str, first: float, second: float, interval: Interval) -> list[Cell]:
    """Return a figure of two systems, the second minus the first, and whether it is resolved."""
    return [
        name,
        rate(first),
        rate(second),
        difference(second - first),
        differences(interval.low, interval.high),
        resolved_text(interval),
    ]


def resolved_text(interval: Interval) -> str:
    """Say whether a difference is told from none."""
    return "not resolved" if interval.holds(0) else "resolved"
