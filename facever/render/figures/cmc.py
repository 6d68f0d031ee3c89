"""CMC: share of queries with a match within each rank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from facever.render.blocks import Drawing
from facever.render.svg import SERIES, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RANKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


@dataclass(frozen=True)
class Cmc:
    """One system's cumulative match characteristic.

    Args:
        name: Name in the legend.
        ranks: int [R], ascending from 1.
        shares: float [R], share of queries with a match within each rank, 0..1.
        low, high: float [R], intervals of `shares`, or None.
    """

    name: str
    ranks: ArrayLike
    shares: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def cmc(systems: Sequence[Cmc]) -> Drawing:
    """Draw the share of queries with a match among the first k, over k."""

    def paint(axes: "Axes") -> None:
        from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

        last = 1.0
        axes.set_xscale("log")
        for place, system in enumerate(systems):
            color = SERIES[place % len(SERIES)]
            ranks, shares = np.asarray(system.ranks, float), np.asarray(system.shares, float)
            axes.plot(
                ranks, shares, "o-", color=color, markersize=3.5, drawstyle="steps-post",
                label=printable(system.name),
            )  # fmt: skip
            if system.low is not None and system.high is not None:
                low, high = np.asarray(system.low, float), np.asarray(system.high, float)
                axes.fill_between(
                    ranks, low, high, step="post", color=color, alpha=0.15, linewidth=0
                )
            last = max(last, float(ranks[-1]))
        axes.set(xlabel="rank k", ylabel="queries matched within k", ylim=(0, 1.02))
        axes.set_xlim(0.95, last * 1.05)
        axes.xaxis.set_major_locator(FixedLocator([k for k in _RANKS if k <= last]))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        if len(systems) > 1:
            axes.legend(loc="lower right")

    spoken = "; ".join(
        f"{system.name}: {float(np.asarray(system.shares)[0]):.3f} at rank 1" for system in systems
    )
    return Drawing("cmc", f"CMC: queries matched within each rank. {spoken}", paint)
