"""A benchmark's figures: one table, or JSON.

A figure is the median of rounds whose parts were timed in turns. Where the rounds disagree (their
quartiles lie over 20 % of the median apart) the machine was disturbed: the figure is *unstable*,
neither met nor missed.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import NamedTuple

_UNITS = {"_s": "s", "_ms": "ms", "_mb": "MB"}
MOST_SPREAD = 0.2


class Rounds(float):
    """The median of what the rounds gave, which also knows how far they lie apart.

    Args:
        values: One or more.
    """

    spread: float
    """Upper less lower quartile, as a share of the median; 0 for a single round."""

    values: list[float]
    """What the rounds gave."""

    def __new__(cls, values: Sequence[float]) -> "Rounds":
        self = super().__new__(cls, median(values))
        lower, _, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [0]
        self.spread = (upper - lower) / abs(float(self) or 1.0)
        self.values = [float(value) for value in values]
        return self


def ratios(above: Sequence[float], below: Sequence[float]) -> Rounds:
    """Return the median of the ratios of two things timed in the same rounds."""
    return Rounds([a / b for a, b in zip(above, below, strict=True)])


class Figure(NamedTuple):
    """One measured number, and what was wanted of it, if anything was.

    `met` is None where nothing was wanted or the rounds disagree; `status` says which.
    """

    name: str
    value: float
    unit: str
    wanted: float | None = None
    met: bool | None = None
    status: str | None = None
    spread: float | None = None


def at_most(name: str, value: float, unit: str, wanted: float | None) -> Figure:
    return _judged(name, value, unit, wanted, wanted is None or value <= wanted)


def at_least(name: str, value: float, unit: str, wanted: float | None) -> Figure:
    return _judged(name, value, unit, wanted, wanted is None or value >= wanted)


def _judged(name: str, value: float, unit: str, wanted: float | None, met: bool) -> Figure:
    spread = value.spread if isinstance(value, Rounds) else None
    if spread is not None and spread > MOST_SPREAD:
        return Figure(name, value, unit, wanted, None, "unstable", spread)
    if wanted is None:
        return Figure(name, value, unit, spread=spread)
    return Figure(name, value, unit, wanted, met, "met" if met else "missed", spread)


Limit = Callable[[str, float, str, float | None], Figure]


def figures_of(
    found: Mapping[str, Mapping[str, float]], limits: Mapping[str, tuple[Limit, float]]
) -> list[Figure]:
    """Return the values of each part as figures, the limited ones with what is wanted."""
    figures = []
    for part, values in found.items():
        for key, value in values.items():
            unit = next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")
            limit, wanted = limits.get(key, (at_least, None))
            figures.append(limit(f"{part}: {key}", value, unit, wanted))
    return figures


def as_json(figures: Iterable[Figure], **more: object) -> str:
    return json.dumps({"figures": [figure._asdict() for figure in figures], **more})


def as_table(figures: Iterable[Figure]) -> str:
    lines = []
    for name, value, unit, wanted, _, status, spread in figures:
        said = [] if wanted is None else [f"wanted {wanted:g}: {status}"]
        if status == "unstable":
            said = [] if wanted is None else [f"wanted {wanted:g}"]
            said.append(f"unstable, quartiles {100 * (spread or 0):.0f} % apart: run it again")
        lines.append(f"{name:44} {value:10.3f} {unit}" + (f"  ({'; '.join(said)})" if said else ""))
    return "\n".join(lines)
