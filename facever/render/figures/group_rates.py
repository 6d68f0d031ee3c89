"""One error rate by group, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from facever.render.blocks import SIZE, Drawing
from facever.render.svg import GENUINE, MUTED, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.26  # inches


def group_rates(
    figure: str,
    names: Sequence[str],
    rates: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    rate: str,
    overall: float,
) -> Drawing:
    """Draw the rate of each group as a dot with its interval.

    Args:
        figure: Unique within a page.
        names: [G], from top to bottom.
        rates: float [G], 0..1.
        low, high: float [G].
        rate: Name of the rate, such as "FMR".
        overall: The same rate over all trials, drawn as a line.
    """
    values = np.asarray(rates, np.float64)
    bottom, top = np.asarray(low, np.float64), np.asarray(high, np.float64)
    rows = np.arange(len(names))[::-1]

    def paint(axes: "Axes") -> None:
        axes.axvline(overall, color=MUTED, linestyle="--", linewidth=1)
        axes.hlines(rows, bottom, top, color=GENUINE, linewidth=1.4)
        axes.plot(values, rows, "o", color=GENUINE, markersize=5)
        axes.set_yticks(rows, [printable(name) for name in names])
        axes.set(xlabel=f"{rate}; dashed: all trials", ylim=(-0.7, len(names) - 0.3))
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")

    spoken = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
    size = (SIZE[0], 1.1 + _ROW * len(names))
    return Drawing(figure, f"{rate} by group: {spoken}", paint, size)
