"""Reliability diagram: observed share of genuine trials against predicted probability."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from facever.render.blocks import Drawing
from facever.render.svg import GENUINE, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability(
    predicted: ArrayLike, observed: ArrayLike, low: ArrayLike, high: ArrayLike, trials: ArrayLike
) -> Drawing:
    """Draw the observed share of genuine trials against the predicted probability.

    Args:
        predicted: float [B], the mean prediction of each bin, 0..1.
        observed: float [B], the share of genuine trials in each bin.
        low, high: float [B], intervals of `observed`.
        trials: int [B], trials in each bin; they set the size of the dots.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(observed, np.float64)
    bottom, top = np.asarray(low, np.float64), np.asarray(high, np.float64)
    counts = np.asarray(trials, np.float64)
    sizes = 14 + 60 * np.log1p(counts) / max(float(np.log1p(counts).max(initial=0.0)), 1.0)

    def paint(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], ":", color=MUTED, linewidth=1.2, label="perfect calibration")
        axes.vlines(x, bottom, top, color=GENUINE, linewidth=1.2)
        axes.scatter(x, y, s=sizes, color=GENUINE, linewidth=0, zorder=3, label="observed")
        axes.set(xlabel="predicted probability (genuine)", ylabel="share of genuine pairs")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.legend(loc="upper left")

    worst = float(np.abs(x - y).max(initial=0.0))
    return Drawing(
        "reliability",
        f"Reliability diagram: {len(x)} bins of predicted probability; at most {worst:.3f} off.",
        paint,
    )
