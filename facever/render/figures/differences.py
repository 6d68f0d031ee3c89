"""Differences of several systems from a baseline, with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facever.render.blocks import SIZE, Drawing
from facever.render.svg import GENUINE, IMPOSTOR, MUTED, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class DifferenceBar:
    """A difference and its interval.

    Args:
        name: Name of the compared system.
        kind: Unit of resampling of the interval, for the legend.
        mean, low, high: The difference and its interval.
    """

    name: str
    kind: str
    mean: float
    low: float
    high: float


def differences(bars: Sequence[DifferenceBar], figure: str, baseline: str) -> Drawing:
    """Draw differences from a baseline with their intervals, one row for each system.

    Args:
        bars: In the order of the rows; bars of the same name share a row.
        figure: Name of the figure, such as "TAR at FAR 1e-3".
        baseline: Name of the system that is subtracted.
    """
    names = list(dict.fromkeys(bar.name for bar in bars))
    kinds = list(dict.fromkeys(bar.kind for bar in bars))

    def paint(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        axes.axvline(0, color=MUTED, linewidth=1)
        for place, kind in enumerate(kinds):
            own = [bar for bar in bars if bar.kind == kind]
            shift = 0.28 * (place - (len(kinds) - 1) / 2)
            rows = [names.index(bar.name) + shift for bar in own]
            color = (GENUINE, IMPOSTOR)[place % 2]
            axes.hlines(rows, [bar.low for bar in own], [bar.high for bar in own], color=color)
            axes.plot([bar.mean for bar in own], rows, "o", color=color, markersize=5, label=kind)
        axes.set_yticks(range(len(names)), [printable(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(printable(f"{figure}, minus {baseline}"))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=2)

    spoken = "; ".join(
        f"{b.name} {b.kind}: {b.mean:+.3f} ({b.low:+.3f} to {b.high:+.3f})" for b in bars
    )
    size = (SIZE[0], 1.4 + 0.45 * len(names))
    name = "differences-" + "".join(c if c.isalnum() else "-" for c in figure)
    return Drawing(name, f"{figure} minus {baseline}: {spoken}", paint, size)
