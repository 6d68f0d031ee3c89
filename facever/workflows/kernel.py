"""What the RBF head's gamma and s mean: reach of the kernel, bounds of probability and loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facever.console import table
from facever.errors import ConfigError
from facever.report.drawing import Panel
from facever.report.page import Table
from facever.report.panels import kernel, own_probability

_REACH = 0.01  # K at the right end of the axes, for the largest gamma


@dataclass(frozen=True)
class RbfCurves:
    """The kernel for some gammas and the best that some scales can reach.

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
        """The distance at which the widest kernel has all but vanished."""
        return math.sqrt(-math.log(_REACH) * max(self.gammas))

    def panels(self) -> list[Panel]:
        """Return K for all gammas, then p for each."""
        probabilities = [
            own_probability(gamma, self.scales, self.identities, self.farthest)
            for gamma in self.gammas
        ]
        return [kernel(self.gammas, self.farthest), *probabilities]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "identities": self.identities,
            "gammas": [
                {"gamma": gamma, "half_at": math.sqrt(gamma * math.log(2))} for gamma in self.gammas
            ],
            "scales": [
                {"scale": s, "highest_probability": p, "lowest_loss": -math.log(p)}
                for s, p in self._best()
            ],
        }

    def to_text(self) -> str:
        """Return both tables as a person reads them."""
        reach = [[f"{gamma:g}", f"{math.sqrt(gamma * math.log(2)):.3f}"] for gamma in self.gammas]
        return "\n".join(
            [table(["gamma", "K = 1/2 at distance"], reach), "", table(_HEADERS, self._rows())]
        )

    def page_table(self) -> Table:
        """Return what each scale can reach, for a page."""
        return Table(f"{self.identities} identities", _HEADERS, self._rows())

    def _best(self) -> list[tuple[float, float]]:
        """Return each scale with p at distance 0, all others far away: 1 / (1 + (C-1) e^-s)."""
        others = self.identities - 1
        return [(scale, 1 / (1 + others * math.exp(-scale))) for scale in self.scales]

    def _rows(self) -> list[list[str]]:
        return [[f"{s:g}", f"{p:.4f}", f"{-math.log(p):.4g}"] for s, p in self._best()]


_HEADERS = ["s", "highest p", "lowest loss"]


def rbf_curves(gammas: Sequence[float], scales: Sequence[float], identities: int) -> RbfCurves:
    """Return the curves for widths and scales.

    Raises:
        ConfigError: A width or scale that is not positive, or fewer than two identities.
    """
    for name, values in (("gamma", gammas), ("scale", scales)):
        wrong = [value for value in values if not (value > 0 and math.isfinite(value))]
        if wrong:
            raise ConfigError(f"--{name} {wrong[0]:g}: it must be more than 0")
    if identities < 2:
        raise ConfigError(f"--identities {identities}: it must be 2 or more")
    return RbfCurves(list(gammas), list(scales), identities)
