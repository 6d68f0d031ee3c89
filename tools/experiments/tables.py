"""Tables of experiments in Markdown."""

from collections.abc import Sequence

import numpy as np

from facever.evaluation.statistics.paired import mean_interval
from facever.operating_point import Interval


def mean_text(values: Sequence[float], digits: int = 3) -> str:
    """Return "0.512 ± 0.014": mean and half of the 95 % interval (Student t over seeds).

    A single seed has no interval.
    """
    mean = f"{np.mean(values):.{digits}f}"
    found = mean_interval(values)
    return mean if found is None else f"{mean} ± {(found.high - found.low) / 2:.{digits}f}"


def interval_text(interval: Interval | None, digits: int = 3) -> str:
    """Return "[+0.003, +0.021]"."""
    if interval is None:
        return "-"
    return f"[{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def markdown(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table under its title."""
    lines = [f"### {title}", "", "| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])
