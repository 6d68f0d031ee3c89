"""ROC and DET: trade-off of the two error rates, for verification and open-set identification."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facever.render.blocks import Drawing
from facever.render.numbers import far_text, rate_text
from facever.render.svg import MUTED, SERIES, printable, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Floats = NDArray[np.float64]

_PROBIT_TICKS = (0.5, 0.2, 0.8, 0.05, 0.95, 0.01, 0.99, 1e-3, 0.999, 1e-4, 1e-5, 1e-6, 1e-7)
_TICK_DISTANCE = 0.11  # share of the axis; closer ticks, later in the list, are omitted
_LARGEST_FMR = 0.8
_FEW = 30  # false accepts; the part of the curve with fewer is shaded


Verified = Mapping[str, Any]
"""Verification results by name, with `curve` (arrays fmr and fnmr), `trials.impostor`,
`operating_points`, and `band`: points along the curve whose intervals are drawn. A point has
`far_target`, `far`, `tar`, `threshold` and the `interval` of the TAR."""


def roc(systems: Verified) -> Drawing:
    """Draw true accept rate against false accept rate (logarithmic axis)."""
    lowest = min(0.1, *(1 / each.trials.impostor for each in systems.values()))

    def paint(axes: "Axes") -> None:
        axes.set_xscale("log")
        for color, (name, each) in zip(_colors(), systems.items(), strict=False):
            fmr, fnmr = _with_points(each)
            fmr, tar = np.append(fmr[fmr > 0], 1.0), np.append(1 - fnmr[fmr > 0], 1.0)
            axes.plot(fmr, tar, color=color, drawstyle="steps-post", label=printable(name))
            if each.band:
                axes.fill_between(*_band(each), color=color, alpha=0.15, linewidth=0)
            for point in each.operating_points:
                x = max(point.far, lowest)
                axes.vlines(x, point.interval.low, point.interval.high, color=color, linewidth=1.2)
                axes.plot(x, point.tar, "o", color=color, markersize=5)
                if len(systems) == 1:
                    say(axes, rate_text(point.tar), (x, point.tar), (-5, 2), "right", "bottom")
        _few_errors(axes, systems, lowest)
        axes.set(xlabel="false accept rate (FAR)", ylabel="true accept rate (TAR)")
        axes.set(xlim=(lowest, 1), ylim=(0, 1.02))
        _power_ticks(axes, lowest)
        if len(systems) > 1:
            axes.legend(loc="lower right")

    spoken = _spoken(systems, "at FAR {far}: TAR {tar:.3f}")
    return Drawing("roc", f"ROC: true accept rate over false accept rate. {spoken}", paint)


def det(systems: Verified) -> Drawing:
    """Draw FNMR against FMR on probit axes: normal score distributions give straight lines."""
    limits = (min(1 / each.trials.impostor for each in systems.values()), _LARGEST_FMR)

    def paint(axes: "Axes") -> None:
        from scipy.special import ndtri

        lines = [_probits(each, limits) for each in systems.values()]
        for color, (name, each), (x, y) in zip(_colors(), systems.items(), lines, strict=False):
            label = printable(name) if len(systems) > 1 else None
            axes.plot(x, y, color=color, drawstyle="steps-post", label=label)
            if each.band:
                far, low, high = _band(each)
                edges = ndtri(np.clip([1 - high, 1 - low], 1e-9, 1 - 1e-9))
                across = ndtri(np.maximum(far, limits[0]))
                axes.fill_between(across, *edges, color=color, alpha=0.15, linewidth=0)
            for point in each.operating_points:
                at = ndtri(max(point.far, limits[0]))
                rates = [1 - point.interval.high, 1 - point.tar, 1 - point.interval.low]
                low, middle, high = ndtri(np.clip(rates, 1e-9, 1 - 1e-9))
                axes.vlines(at, low, high, color=color, linewidth=1.2)
                axes.plot(at, middle, "o", color=color, markersize=5)
                if len(systems) == 1:
                    target = f"FAR {far_text(point.far_target)}"
                    say(axes, target, (at, middle), (6, 3), "left", "bottom")
        across = ndtri(limits)
        axes.plot(across, across, ":", color=MUTED, linewidth=1.2, label="FMR = FNMR (EER)")
        heights = np.concatenate([y for _, y in lines] or [across])
        lowest, highest = heights.min(initial=across[1]), heights.max(initial=across[0])
        margin = 0.04 * (highest - lowest) + 0.05
        axes.set(xlim=across, ylim=(lowest - margin, highest + margin))
        _probit_ticks(axes.xaxis)
        _probit_ticks(axes.yaxis)
        axes.set(xlabel="false match rate (FMR)", ylabel="false non-match rate (FNMR)")
        axes.legend(loc="upper right")

    spoken = _spoken(systems, "at FMR {far}: FNMR {fnmr:.3f}")
    return Drawing("det", f"DET: FNMR against FMR. {spoken}", paint)


def open_set(systems: Mapping[str, tuple[Floats, Floats]]) -> Drawing:
    """Draw the FNIR against the FPIR (logarithmic axis).

    Args:
        systems: By the name in the legend: FPIR and FNIR, float [P] each, at the same thresholds.
    """

    def paint(axes: "Axes") -> None:
        axes.set_xscale("log")
        for place, (name, (fpir, fnir)) in enumerate(systems.items()):
            order = np.lexsort((fnir, fpir))[::-1]
            kept = order[fpir[order] > 0]
            axes.plot(
                fpir[kept], fnir[kept], color=SERIES[place % len(SERIES)],
                drawstyle="steps-pre", label=printable(name),
            )  # fmt: skip
        axes.set(xlabel="false positive identification rate (FPIR)", ylim=(0, 1.02))
        axes.set(ylabel="false negative identification rate (FNIR)")
        if len(systems) > 1:
            axes.legend(loc="upper right")

    return Drawing("open-set", f"FNIR over FPIR: {', '.join(systems)}.", paint)


def _with_points(each: Any) -> tuple[Floats, Floats]:
    """Return the rates in ascending FMR, including the operating points (the curve is thinned)."""
    fmr = np.append(each.curve.fmr, [point.far for point in each.operating_points])
    fnmr = np.append(each.curve.fnmr, [1 - point.tar for point in each.operating_points])
    order = np.lexsort((-fnmr, fmr))  # among equal FMRs the lowest FNMR counts, so it comes last
    return fmr[order], fnmr[order]


def _band(each: Any) -> tuple[Floats, Floats, Floats]:
    """Return FARs, ascending, and the ends of the intervals of the TAR there."""
    ends = sorted((point.far, point.interval.low, point.interval.high) for point in each.band)
    far, low, high = np.array(ends, np.float64).reshape(-1, 3).T
    return far, low, high


def _colors() -> Iterator[str]:
    return cycle(SERIES)


def _few_errors(axes: "Axes", systems: Verified, lowest: float) -> None:
    """Shade the part of the curve with fewer than thirty false accepts."""
    border = _FEW / min(each.trials.impostor for each in systems.values())
    axes.axvspan(lowest, min(border, 1), color=MUTED, alpha=0.12, linewidth=0)
    axes.annotate(
        f"under {_FEW} false accepts", (lowest, 1.02), (5, -4), textcoords="offset points",
        va="top", fontsize=8, color=MUTED,
    )  # fmt: skip


def _power_ticks(axes: "Axes", lowest: float) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    powers = np.arange(np.ceil(np.log10(lowest) - 1e-9), 1)
    axes.xaxis.set_major_locator(FixedLocator([float(10.0**power) for power in powers]))
    axes.xaxis.set_major_formatter(FixedFormatter([far_text(10.0**power) for power in powers]))
    axes.xaxis.set_minor_locator(NullLocator())


def _probits(each: Any, limits: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return the part of a curve within the limits of probit axes."""
    from scipy.special import ndtri

    fmr, fnmr = _with_points(each)
    inside = (fmr >= limits[0]) & (fmr <= limits[1]) & (fnmr > 0) & (fnmr < 1)
    return ndtri(fmr[inside]), ndtri(fnmr[inside])


def _probit_ticks(axis: "Axis") -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator
    from scipy.special import ndtri

    low, high = axis.get_view_interval()
    shown: dict[float, str] = {}
    for rate in _PROBIT_TICKS:
        place = float(ndtri(rate))
        free = all(abs(place - other) > _TICK_DISTANCE * (high - low) for other in shown)
        if low <= place <= high and free:
            shown[place] = f"{100 * rate:.6g} %"
    axis.set_major_locator(FixedLocator(list(shown)))
    axis.set_major_formatter(FixedFormatter(list(shown.values())))


def _spoken(systems: Verified, form: str) -> str:
    return "; ".join(
        ", ".join(
            form.format(far=far_text(point.far_target), tar=point.tar, fnmr=1 - point.tar)
            for point in each.operating_points
        )
        for each in systems.values()
    )
