"""A benchmark's figures: one table, or JSON."""

import json
from collections.abc import Iterable
from typing import NamedTuple


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


def as_json(figures: Iterable[Figure], **more: object) -> str:
    return json.dumps({"figures": [figure._asdict() for figure in figures], **more})


def as_table(figures: Iterable[Figure]) -> str:
    lines = []
    for name, value, unit, wanted, met in figures:
        aim = "" if wanted is None else f"  (wanted {wanted:g}: {'met' if met else 'NOT met'})"
        lines.append(f"{name:44} {value:10.3f} {unit}{aim}")
    return "\n".join(lines)
