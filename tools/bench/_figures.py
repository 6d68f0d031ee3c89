"""A benchmark's figures: one table, or JSON."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

_UNITS = {"_s": "s", "_mb": "MB"}


class Figure(NamedTuple):
    """One measured number, and what was wanted of it, if anything was."""

    name: str
    value: float
    unit: str
    wanted: float | None = None
    met: bool | None = None


def at_most(name: str, value: float, unit: str, wanted: float | None) -> Figure:
    return Figure(name, value, unit, wanted, None if wanted is None else value <= wanted)


def at_least(name: str, value: float, unit: str, wanted: float | None) -> Figure:
    return Figure(name, value, unit, wanted, None if wanted is None else value >= wanted)


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
    for name, value, unit, wanted, met in figures:
        aim = "" if wanted is None else f"  (wanted {wanted:g}: {'met' if met else 'NOT met'})"
        lines.append(f"{name:44} {value:10.3f} {unit}{aim}")
    return "\n".join(lines)
