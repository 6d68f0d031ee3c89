"""Embeddings and prototypes: two-dimensional features, similarity matrices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.render.blocks import Drawing, Figure
from facever.render.svg import INK, PAPER, SERIES, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

PALETTE = (*SERIES, "#3aa0a8", "#7a7f1f", "#d06fb0", "#6b4a2b")
"""Ten colours that are told apart on light and on dark paper."""

_FAR_OUT = 99.5  # percentile of the lengths that the axes reach to


def features(
    name: str,
    title: str,
    points: ArrayLike,
    labels: ArrayLike,
    identities: Sequence[str],
    prototypes: ArrayLike | None,
    *,
    metric: str,
    caption: str,
) -> Figure:
    """Draw two-dimensional embeddings of several identities, and the prototypes.

    Where embeddings are compared by distance a prototype is a place; elsewhere it is a direction
    and drawn as a ray.

    Args:
        name: Unique within a page.
        title: Of the panel.
        points: [N, 2], not normalised.
        labels: int [N], the place of each point's identity in `identities`.
        identities: As the legend names them.
        prototypes: [C, 2], or None where the head has none.
        metric: "cosine", "euclidean" or "dot".
        caption: How to read it.
    """
    xy, who = np.asarray(points, np.float64), np.asarray(labels)
    own = None if prototypes is None else np.asarray(prototypes, np.float64)
    places = metric == "euclidean"

    def paint(axes: "Axes") -> None:
        reach = float(np.percentile(np.abs(xy), _FAR_OUT)) * 1.1
        if own is not None and places:
            reach = max(reach, 1.1 * float(np.abs(own).max()))
        for label, identity in enumerate(identities):
            color = PALETTE[label % len(PALETTE)]
            mine = xy[who == label]
            axes.plot(
                mine[:, 0], mine[:, 1], "o", color=color, markersize=1.8, alpha=0.55,
                markeredgewidth=0, label=printable(identity),
            )  # fmt: skip
            if own is not None and not places:
                end = own[label] / max(float(np.linalg.norm(own[label])), 1e-12) * reach
                axes.plot([0, end[0]], [0, end[1]], color=color, linewidth=1.4)
        if own is not None and places:
            axes.plot(own[:, 0], own[:, 1], "X", color=INK, markeredgecolor=PAPER, markersize=7)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3, fontsize=8.5)

    drawn = "none" if own is None else "as crosses" if places else "as rays"
    alt = f"{title}: {len(xy)} embeddings of {len(identities)} identities, prototypes {drawn}."
    return Figure(title, Drawing(name, alt, paint), caption)


def similarity_matrix(
    name: str, title: str, values: ArrayLike, identities: Sequence[str], *, score: str, caption: str
) -> Figure:
    """Draw a matrix [C, C] of similarities, its rows already in the order wanted."""
    matrix = np.asarray(values, np.float64)
    size = len(matrix)

    def paint(axes: "Axes") -> None:
        off = matrix[~np.eye(size, dtype=bool)]
        image = axes.imshow(
            matrix, cmap="viridis", vmin=float(off.min()), vmax=float(off.max()),
            interpolation="nearest",
        )  # fmt: skip
        axes.grid(False)
        if size <= 40:
            ticks = [printable(identity)[:18] for identity in identities]
            small = 8 if size <= 20 else 5
            axes.set_xticks(range(size), ticks, rotation=90, fontsize=small)
            axes.set_yticks(range(size), ticks, fontsize=small)
        else:
            axes.set_xlabel(f"{size} identities, neighbours alike")
        assert axes.figure is not None
        axes.figure.colorbar(image, ax=axes, label=printable(score), shrink=0.8)

    drawing = Drawing(name, f"{title}: {size} x {size} similarities.", paint)
    return Figure(title, drawing, caption)
