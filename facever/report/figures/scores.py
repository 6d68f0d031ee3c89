"""The distributions of genuine and impostor scores."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from facever.report.drawing import GENUINE, IMPOSTOR, INK, draw, printable, say
from facever.report.figures.curves import Mark


def histogram(
    edges: ArrayLike,
    genuine: ArrayLike,
    impostor: ArrayLike,
    marks: Sequence[Mark] = (),
    score: str = "score",
) -> str:
    """Draw the shares of genuine and impostor scores per bin, with the thresholds.

    Args:
        edges: [B + 1], ascending.
        genuine: [B], counts.
        impostor: [B], counts.
        marks: Operating points whose thresholds are drawn.
        score: What the scores are, for the axis.
    """
    borders, counts = np.asarray(edges, np.float64), np.asarray([genuine, impostor], np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def paint(axes: Axes) -> None:
        for name, color, share in zip(
            ("impostor: two people", "genuine: one person"), (IMPOSTOR, GENUINE), shares[::-1],
            strict=True,
        ):  # fmt: skip
            axes.stairs(share, borders, fill=True, color=color, alpha=0.28)
            axes.stairs(share, borders, color=color, linewidth=1.4, label=name)
        top = float(shares.max()) * 1.05
        for place, mark in enumerate(sorted(marks, key=lambda mark: mark.threshold)):
            axes.axvline(mark.threshold, color=INK, linewidth=1, linestyle="--")
            at = (mark.threshold, top * (0.99 - 0.06 * place))
            say(axes, f"FAR {mark.label}", at, (3, 0), "left", "top")
        axes.set(xlabel=printable(score), ylabel="share of the trials", ylim=(0, top))
        axes.set_xlim(borders[0], borders[-1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=2)

    spoken = ", ".join(f"threshold {mark.threshold:.4f} at FAR {mark.label}" for mark in marks)
    return draw("histogram", f"Histograms of genuine and impostor scores. {spoken}", paint)
