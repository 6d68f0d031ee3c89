"""The RBF head's kernel and probability over the distance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from facever.render.blocks import Drawing, Figure
from facever.render.svg import MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def kernel(gammas: Sequence[float], farthest: float) -> Figure:
    """Draw K(d) = exp(-d^2 / gamma) for each gamma, d from 0 to `farthest`."""
    distance = np.linspace(0, farthest, 241)

    def paint(axes: "Axes") -> None:
        for place, gamma in enumerate(gammas):
            color = SERIES[place % len(SERIES)]
            axes.plot(distance, np.exp(-(distance**2) / gamma), color=color, label=f"γ = {gamma:g}")
        axes.set(
            xlabel="distance d to the prototype", ylabel="K", ylim=(0, 1.02), xlim=(0, farthest)
        )
        axes.legend(loc="upper right")

    spoken = "; ".join(
        f"gamma {gamma:g}: K is one half at {np.sqrt(gamma * np.log(2)):.2f}" for gamma in gammas
    )
    caption = "K = exp(-d² / γ): a larger γ forgives larger distances."
    return Figure("K over the distance", Drawing("rbf-kernel", spoken, paint), caption)


def own_probability(
    gamma: float, scales: Sequence[float], identities: int, farthest: float
) -> Figure:
    """Draw the probability of the own identity over the distance, all others being far away.

    p = e^{s K} / (e^{s K} + C - 1), with K = 0 for every wrong identity.
    """
    distance = np.linspace(0, farthest, 241)
    similarity = np.exp(-(distance**2) / gamma)

    def paint(axes: "Axes") -> None:
        axes.axhline(1 / identities, color=MUTED, linestyle=":", linewidth=1)
        for place, scale in enumerate(scales):
            color = SERIES[place % len(SERIES)]
            probability = expit(scale * similarity - np.log(max(identities - 1, 1e-300)))
            axes.plot(distance, probability, color=color, label=f"s = {scale:g}")
        axes.set(xlabel="distance d to the own prototype", ylabel="p of the own identity")
        axes.set(ylim=(0, 1.02), xlim=(0, farthest))
        axes.legend(loc="upper right")

    spoken = "; ".join(
        f"s {scale:g}: at most {expit(scale - np.log(max(identities - 1, 1e-300))):.4f}"
        for scale in scales
    )
    return Figure(
        f"p over the distance, γ = {gamma:g}",
        Drawing(f"rbf-probability-{gamma:g}", spoken, paint),
        f"Of {identities} identities, the others far away (K = 0). A small s keeps p low even at "
        "distance 0; the dotted line is chance.",
    )
