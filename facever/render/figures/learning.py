"""Curves of trainings: loss, learning rate, development figures, several seeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.render.blocks import SIZE, Drawing
from facever.render.svg import GENUINE, SERIES, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_FLAT = (SIZE[0], 3.2)
_STYLES = ("-", "--", ":", "-.")


def loss(steps: ArrayLike, values: ArrayLike) -> Drawing:
    """Draw the training loss over updates: as logged, and smoothed."""
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    smooth = _smoothed(y)

    def paint(axes: "Axes") -> None:
        axes.plot(x, y, color=GENUINE, linewidth=1, alpha=0.35, label="as logged")
        axes.plot(x, smooth, color=GENUINE, label="smoothed")
        axes.set(xlabel="update", ylabel="training loss")
        axes.legend(loc="upper right")

    ends = f"From {y[0]:.3f} to {smooth[-1]:.3f}." if len(y) else ""
    return Drawing("loss", f"Training loss over {len(y)} logged updates. {ends}", paint, _FLAT)


def learning_rate(steps: ArrayLike, values: ArrayLike) -> Drawing:
    """Draw the learning rate over updates."""
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)

    def paint(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter

        axes.plot(x, y, color=GENUINE)
        axes.set(xlabel="update", ylabel="learning rate")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

    return Drawing(
        "learning-rate", f"Learning rate over updates; at most {y.max():g}.", paint, _FLAT
    )


def development(series: Mapping[str, tuple[ArrayLike, ArrayLike]], figure: str) -> Drawing:
    """Draw a figure of the development identities over updates.

    Args:
        series: By name of the weights ("raw", "ema"): updates and values, NaN if unknown.
        figure: Name of the figure, such as "TAR at FAR 1e-2".
    """

    def paint(axes: "Axes") -> None:
        for place, (name, (steps, values)) in enumerate(series.items()):
            color = SERIES[place % len(SERIES)]
            axes.plot(
                np.asarray(steps, np.float64), np.asarray(values, np.float64), "o-",
                color=color, markersize=4, label=printable(name),
            )  # fmt: skip
        axes.set(xlabel="update", ylabel=f"development {printable(figure)}")
        if len(series) > 1:
            axes.legend(loc="best")

    return Drawing("development", f"{figure} on development identities.", paint, _FLAT)


def course(
    name: str,
    alt: str,
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    axis: str,
    logarithmic: bool = False,
) -> Drawing:
    """Draw figures over updates.

    Args:
        name: Unique within a page.
        alt: Title for screen readers.
        series: By the name in the legend: updates and values, NaN if unknown.
        axis: Label of the value axis.
        logarithmic: Whether the value axis is logarithmic.
    """
    known = {}
    for label, (steps, values) in series.items():
        x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
        there = np.isfinite(y)
        known[label] = (x[there], y[there])

    def paint(axes: "Axes") -> None:
        for place, (label, (x, y)) in enumerate(known.items()):
            color = SERIES[place % len(SERIES)]
            axes.plot(x, y, color=color, linewidth=1.2, label=printable(label))
        axes.set(xlabel="update", ylabel=axis)
        if logarithmic and any((y > 0).any() for _, y in known.values()):
            axes.set_yscale("log")
        if len(known) > 1:
            axes.legend(loc="best")

    ends = [f"{label} ends at {y[-1]:.3g}" for label, (_, y) in known.items() if len(y)]
    said = ", ".join(ends)
    return Drawing(name, f"{alt}. {said[:1].upper()}{said[1:]}.", paint, _FLAT)


def learning_curves(
    series: Mapping[str, Sequence[Sequence[tuple[int, float]]]], figure: str
) -> Drawing:
    """Draw each system's mean curve over its seeds, with the range of the seeds.

    Args:
        series: By name: for each seed the updates and values.
        figure: Name of the figure, such as "development AUC".
    """

    def paint(axes: "Axes") -> None:
        for place, (name, seeds) in enumerate(series.items()):
            color = SERIES[place % len(SERIES)]
            style = _STYLES[place // len(SERIES) % len(_STYLES)]
            steps, values = _together(seeds)
            axes.plot(steps, values.mean(0), style, color=color, label=printable(name))
            axes.fill_between(
                steps, values.min(0), values.max(0), color=color, alpha=0.12, linewidth=0
            )
        axes.set(xlabel="update", ylabel=printable(figure))
        axes.legend(loc="best", fontsize=8.5)

    ends = ", ".join(
        f"{name} {_together(seeds)[1][:, -1].mean():.3f}" for name, seeds in series.items()
    )
    return Drawing("learning-curves", f"{figure} over updates; at the end: {ends}.", paint)


def _together(seeds: Sequence[Sequence[tuple[int, float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the updates that all seeds have in common, and the values [S, T]."""
    by_step = [dict(points) for points in seeds]
    steps = sorted(set.intersection(*(set(points) for points in by_step)))
    return np.array(steps), np.array([[points[step] for step in steps] for points in by_step])


def _smoothed(values: Floats) -> Floats:
    """Return the moving average of the values; its window is about a twentieth of them."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
