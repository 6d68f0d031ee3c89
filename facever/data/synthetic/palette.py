"""Colours of synthetic people, and the mixing of colours."""

from collections.abc import Iterable
from functools import lru_cache

Color = tuple[float, float, float]

SKIN: list[Color] = [
    (250, 222, 200),
    (240, 200, 170),
    (224, 178, 140),
    (198, 146, 106),
    (158, 108, 74),
    (122, 82, 56),
    (88, 60, 44),
]
HAIR: list[tuple[Color, float]] = [  # with its share of the population
    ((24, 20, 20), 0.24),
    ((46, 32, 26), 0.2),
    ((78, 50, 32), 0.16),
    ((120, 80, 46), 0.11),
    ((176, 130, 78), 0.08),
    ((222, 190, 130), 0.06),
    ((150, 66, 34), 0.06),
    ((128, 128, 130), 0.05),
    ((206, 206, 204), 0.04),
]
IRIS: list[tuple[Color, float]] = [
    ((60, 38, 24), 0.34),
    ((96, 62, 34), 0.24),
    ((130, 100, 56), 0.12),
    ((96, 124, 78), 0.1),
    ((86, 128, 168), 0.13),
    ((130, 146, 154), 0.07),
]


def cut(values: Iterable[float]) -> Color:
    """Return red, green and blue, cut to 0..255."""
    red, green, blue = (min(max(float(value), 0.0), 255.0) for value in values)
    return red, green, blue


@lru_cache(maxsize=1024)  # a person keeps their colours
def mix(first: Color, second: Color, share: float) -> Color:
    """Return `first` with a share of `second`."""
    return cut(a + (b - a) * share for a, b in zip(first, second, strict=True))


@lru_cache(maxsize=1024)
def dim(base: Color, factor: float) -> Color:
    """Return a colour darker (factor below 1) or lighter (above 1)."""
    return cut(value * factor for value in base)
