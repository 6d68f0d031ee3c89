"""Cells and notes shared by the descriptions of results."""

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

FEW = Note(f"(few): fewer than {FEW_ERRORS} errors, too few for a reliable rate", warning=True)


def few(shown: Number, errors: int) -> Number:
    """Return a number, marked "(few)" if it is based on too few errors."""
    return Number(f"{shown.text} (few)", shown.value) if errors < FEW_ERRORS else shown


def errors(number: int) -> Number:
    """Return a count of errors, marked "(few)" if it is too small for a rate."""
    return few(count(number), number)


def few_notes(rows: Iterable[Sequence[Cell]]) -> list[Note]:
    """Return the note that explains the mark "(few)", if a row has it."""
    marked = any(isinstance(cell, Number) and "(few)" in cell.text for row in rows for cell in row)
    return [FEW] if marked else []


def far_and_interval(value: float, interval: Interval) -> list[Cell]:
    """Return a small rate and its interval."""
    return [far(value), fars(interval.low, interval.high)]


def rate_and_interval(value: float, interval: Interval | None) -> list[Cell]:
    """Return a rate and its interval; an empty cell without an interval."""
    return [rate(value), "" if interval is None else span(interval)]


def span(interval: Interval) -> Range:
    """Return the ends of an interval of a rate."""
    return rates(interval.low, interval.high)


def level_of(interval: Interval) -> str:
    """Return the header of a column of intervals."""
    return f"{interval.level:.0%}"


def by_method(intervals: Iterable[tuple[str, Interval]]) -> dict[str, list[str]]:
    """Return the names of intervals by method."""
    ways: dict[str, list[str]] = {}
    for name, interval in intervals:
        note = f": {interval.note}" if interval.note else ""
        ways.setdefault(f"{interval.method}{note}", []).append(name)
    return ways


def interval_notes(
    intervals: Iterable[tuple[str, Interval]], of: str = "", over: str = ""
) -> list[Note]:
    """Return one note for each method of the intervals, with their names."""
    return [
        Note(f"interval of {of}{', '.join(names)}: {way}{over}")
        for way, names in by_method(intervals).items()
    ]


def refused_note(what: str, target: float, needs: int, of: str) -> Note:
    """Return the note that a rate is refused, with the number of trials that it needs."""
    return Note(f"{what} {far_text(target)} is refused: it needs {needs:,} {of}")


def difference_headers(interval: Interval) -> list[str]:
    """Return the headers of a table of `difference_row`s."""
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
    """Return "resolved" if the interval of a difference excludes zero."""
    return "not resolved" if interval.holds(0) else "resolved"
