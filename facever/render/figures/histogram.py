"""The distributions of genuine and impostor scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from facever.render.blocks import Drawing
from facever.render.numbers import far_text
from facever.render.svg import GENUINE, IMPOSTOR, INK, printable, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histogram(
    edges: ArrayLike,
    genuine: ArrayLike,
    impostor: ArrayLike,
    points: Sequence[Any] = (),
    score: str = "score",
) -> Drawing:
    """Draw the shares of genuine and impostor scores per bin, with the thresholds.

    Args:
        edges: [B + 1], ascending.
        genuine: [B], counts.
        impostor: [B], counts.
        points: Operating points; each `threshold` is drawn and labelled with its `far_target`.
        score: Kind of score, for the axis.
    """
    borders, counts = np.asarray(edges, np.float64), np.asarray([genuine, impostor], np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def paint(axes: "Axes") -> None:
        for name, color, share in zip(
            ("impostor: two people", "genuine: one person"), (IMPOSTOR, GENUINE), shares[::-1],
            strict=True,
        ):  # fmt: skip
            axes.stairs(share, borders, fill=True, color=color, alpha=0.28)
            axes.stairs(share, borders, color=color, linewidth=1.4, label=name)
        top = float(shares.max()) * 1.05
        for place, point in enumerate(sorted(points, key=lambda point: point.threshold)):
            axes.axvline(point.threshold, color=INK, linewidth=1, linestyle="--")
            at = (point.threshold, top * (0.99 - 0.06 * place))
            say(axes, f"FAR {far_text(point.far_target)}", at, (3, 0), "left", "top")
        axes.set(xlabel=printable(score), ylabel="share of trials", ylim=(0, top))
        axes.set_xlim(borders[0], borders[-1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=2)

    spoken = ", ".join(
        f"threshold {point.threshold:.4f} at FAR {far_text(point.far_target)}" for point in points
    )
    return Drawing("histogram", f"Histograms of genuine and impostor scores. {spoken}", paint)
