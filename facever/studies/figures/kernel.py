"""Meaning of gamma and s of the RBF head: width of the kernel, bounds of probability and loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from facever.errors import ConfigError
from facever.render.blocks import Cell, Drawing, Figure, Number, Section, Table
from facever.render.numbers import rate
from facever.render.result import Result
from facever.render.svg import MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH = 0.01  # K at the right end of the axis, for the largest gamma


@dataclass(frozen=True)
class RbfCurves(Result):
    """The kernel for some gammas, and the highest probability and lowest loss for some scales.

    Attributes:
        gammas: Widths of the kernel.
        scales: Factors s.
        identities: C.
    """

    gammas: list[float]
    scales: list[float]
    identities: int

    @property
    def farthest(self) -> float:
        """The distance at which the widest kernel is almost 0."""
        return math.sqrt(-math.log(_REACH) * max(self.gammas))

    json_keys = "identities gammas=_reach scales=_reached"

    def describe(self) -> list[Section]:
        """Return K for all gammas, p for each, and the bounds of each scale."""
        drawn = [
            own_probability(gamma, self.scales, self.identities, self.farthest)
            for gamma in self.gammas
        ]
        reach: list[list[Cell]] = [
            [f"{each['gamma']:g}", Number(f"{each['half_at']:.3f}", each["half_at"])]
            for each in self._reach
        ]
        scales: list[list[Cell]] = [
            [f"{s:g}", rate(p), Number(f"{-math.log(p):.4g}", -math.log(p))]
            for s, p in self._best()
        ]
        tables = [
            Table("", ["gamma", "K = 1/2 at distance"], reach),
            Table(f"{self.identities} identities", ["s", "highest p", "lowest loss"], scales),
        ]
        blocks = [kernel(self.gammas, self.farthest), *drawn, *tables]
        return [Section("figures", "Figures", blocks)]

    @property
    def _reach(self) -> list[dict[str, float]]:
        return [{"gamma": g, "half_at": math.sqrt(g * math.log(2))} for g in self.gammas]

    @property
    def _reached(self) -> list[dict[str, float]]:
        return [
            {"scale": s, "highest_probability": p, "lowest_loss": -math.log(p)}
            for s, p in self._best()
        ]

    def _best(self) -> list[tuple[float, float]]:
        """Return each scale with p at distance 0, all others far away: 1 / (1 + (C-1) e^-s)."""
        others = self.identities - 1
        return [(scale, 1 / (1 + others * math.exp(-scale))) for scale in self.scales]


def rbf_curves(gammas: Sequence[float], scales: Sequence[float], identities: int) -> RbfCurves:
    """Return the curves for widths and scales.

    Raises:
        ConfigError: A width or scale is not positive, or there are fewer than two identities.
    """
    for name, values in (("gamma", gammas), ("scale", scales)):
        wrong = [value for value in values if not (value > 0 and math.isfinite(value))]
        if wrong:
            raise ConfigError(f"--{name} {wrong[0]:g}: it must be more than 0")
    if identities < 2:
        raise ConfigError(f"--identities {identities}: it must be 2 or more")
    return RbfCurves(list(gammas), list(scales), identities)


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
    caption = "K = exp(-d² / γ): a larger γ gives a wider kernel."
    return Figure("K against distance", Drawing("rbf-kernel", spoken, paint), caption)


def own_probability(
    gamma: float, scales: Sequence[float], identities: int, farthest: float
) -> Figure:
    """Draw the probability of the true identity against the distance; all others are far away.

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
        axes.set(
            xlabel="distance d to the prototype of the identity", ylabel="p of the true identity"
        )
        axes.set(ylim=(0, 1.02), xlim=(0, farthest))
        axes.legend(loc="upper right")

    spoken = "; ".join(
        f"s {scale:g}: at most {expit(scale - np.log(max(identities - 1, 1e-300))):.4f}"
        for scale in scales
    )
    return Figure(
        f"p against distance, γ = {gamma:g}",
        Drawing(f"rbf-probability-{gamma:g}", spoken, paint),
        f"{identities} identities; the others are far away (K = 0). With a small s, p is low even "
        "at "
        "distance 0. The dotted line is the chance level.",
    )
