"""ROC and DET: how the two error rates trade."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy.special import ndtri

from facever.evaluation.statistics.intervals import FEW_ERRORS
from facever.report.drawing import MUTED, SERIES, draw, printable, say
from facever.report.numbers import far_text, rate_text

Floats = NDArray[np.float64]

_PROBIT_TICKS = (0.5, 0.2, 0.8, 0.05, 0.95, 0.01, 0.99, 1e-3, 0.999, 1e-4, 1e-5, 1e-6, 1e-7)
_TICK_DISTANCE = 0.11  # of the axis; nearer ticks, named later above, are left out
_LARGEST_FMR = 0.8


@dataclass(frozen=True)
class Mark:
    """An operating point on a curve.

    Args:
        label: As the legend and the histogram name it.
        far: Achieved false accept rate, 0..1.
        tar: True accept rate, 0..1.
        low, high: Interval of `tar`.
        threshold: Accept iff score > threshold.
    """

    label: str
    far: float
    tar: float
    low: float
    high: float
    threshold: float


@dataclass(frozen=True)
class Band:
    """The intervals of TAR along a curve.

    Args:
        far: float [K], ascending.
        low, high: float [K], of the TAR there.
    """

    far: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Curve:
    """One system's trade-off between the two errors.

    Args:
        name: As the legend names it.
        fmr: float [K], false match rates at the thresholds of the curve.
        fnmr: float [K], false non-match rates at the same thresholds.
        impostors: Number of impostor trials, which says how far left the curve can be trusted.
        genuines: Number of genuine trials.
        marks: Operating points.
        band: Intervals along the curve, joined by straight lines, or None.
    """

    name: str
    fmr: Floats
    fnmr: Floats
    impostors: int
    genuines: int
    marks: Sequence[Mark] = ()
    band: Band | None = None


def roc(curves: Sequence[Curve]) -> str:
    """Draw true accept rate over false accept rate, the latter in powers of ten."""
    lowest = min(0.1, *(1 / curve.impostors for curve in curves))

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        for color, curve in zip(_colors(curves), curves, strict=True):
            fmr, fnmr = _with_marks(curve)
            fmr, tar = np.append(fmr[fmr > 0], 1.0), np.append(1 - fnmr[fmr > 0], 1.0)
            axes.plot(fmr, tar, color=color, drawstyle="steps-post", label=printable(curve.name))
            if curve.band is not None:
                low, high = curve.band.low, curve.band.high
                axes.fill_between(curve.band.far, low, high, color=color, alpha=0.15, linewidth=0)
            for mark in curve.marks:
                x = max(mark.far, lowest)
                axes.vlines(x, mark.low, mark.high, color=color, linewidth=1.2)
                axes.plot(x, mark.tar, "o", color=color, markersize=5)
                if len(curves) == 1:
                    say(axes, rate_text(mark.tar), (x, mark.tar), (-5, 2), "right", "bottom")
        _few_errors(axes, curves, lowest)
        axes.set(xlabel="false accept rate (FAR)", ylabel="true accept rate (TAR)")
        axes.set(xlim=(lowest, 1), ylim=(0, 1.02))
        _power_ticks(axes, lowest)
        if len(curves) > 1:
            axes.legend(loc="lower right")

    marks = _spoken(curves, "at FAR {far}: TAR {tar:.3f}")
    return draw("roc", f"ROC: true accept rate over false accept rate. {marks}", paint)


def det(curves: Sequence[Curve]) -> str:
    """Draw FNMR over FMR, both on probit axes: normal score distributions give straight lines."""
    limits = (min(1 / curve.impostors for curve in curves), _LARGEST_FMR)
    lines = [_probits(curve, limits) for curve in curves]

    def paint(axes: Axes) -> None:
        for color, curve, (x, y) in zip(_colors(curves), curves, lines, strict=True):
            name = printable(curve.name) if len(curves) > 1 else None
            axes.plot(x, y, color=color, drawstyle="steps-post", label=name)
            if curve.band is not None:
                across = ndtri(np.maximum(curve.band.far, limits[0]))
                edges = ndtri(np.clip([1 - curve.band.high, 1 - curve.band.low], 1e-9, 1 - 1e-9))
                axes.fill_between(across, *edges, color=color, alpha=0.15, linewidth=0)
            for mark in curve.marks:
                at = ndtri(max(mark.far, limits[0]))
                rates = [1 - mark.high, 1 - mark.tar, 1 - mark.low]
                low, middle, high = ndtri(np.clip(rates, 1e-9, 1 - 1e-9))
                axes.vlines(at, low, high, color=color, linewidth=1.2)
                axes.plot(at, middle, "o", color=color, markersize=5)
                if len(curves) == 1:
                    say(axes, f"FAR {mark.label}", (at, middle), (6, 3), "left", "bottom")
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

    marks = _spoken(curves, "at FMR {far}: FNMR {fnmr:.3f}")
    return draw("det", f"DET: the two error rates against each other. {marks}", paint)


def _with_marks(curve: Curve) -> tuple[Floats, Floats]:
    """Return the rates in ascending FMR, the marks among them: a thinned curve may lack them."""
    fmr = np.append(curve.fmr, [mark.far for mark in curve.marks])
    fnmr = np.append(curve.fnmr, [1 - mark.tar for mark in curve.marks])
    order = np.lexsort((-fnmr, fmr))  # of equal FMR the lowest FNMR counts, so it comes last
    return fmr[order], fnmr[order]


def _colors(curves: Sequence[Curve]) -> list[str]:
    return [SERIES[place % len(SERIES)] for place in range(len(curves))]


def _few_errors(axes: Axes, curves: Sequence[Curve], lowest: float) -> None:
    """Shade where fewer than thirty false accepts carry the curve."""
    border = FEW_ERRORS / min(curve.impostors for curve in curves)
    axes.axvspan(lowest, min(border, 1), color=MUTED, alpha=0.12, linewidth=0)
    axes.annotate(
        f"under {FEW_ERRORS} false accepts", (lowest, 1.02), (5, -4), textcoords="offset points",
        va="top", fontsize=8, color=MUTED,
    )  # fmt: skip


def _power_ticks(axes: Axes, lowest: float) -> None:
    powers = np.arange(np.ceil(np.log10(lowest) - 1e-9), 1)
    axes.xaxis.set_major_locator(FixedLocator([float(10.0**power) for power in powers]))
    axes.xaxis.set_major_formatter(FixedFormatter([far_text(10.0**power) for power in powers]))
    axes.xaxis.set_minor_locator(NullLocator())


def _probits(curve: Curve, limits: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return the part of a curve that probit axes can show."""
    fmr, fnmr = _with_marks(curve)
    inside = (fmr >= limits[0]) & (fmr <= limits[1]) & (fnmr > 0) & (fnmr < 1)
    return ndtri(fmr[inside]), ndtri(fnmr[inside])


def _probit_ticks(axis: Axis) -> None:
    low, high = axis.get_view_interval()
    shown: dict[float, str] = {}
    for rate in _PROBIT_TICKS:
        place = float(ndtri(rate))
        free = all(abs(place - other) > _TICK_DISTANCE * (high - low) for other in shown)
        if low <= place <= high and free:
            shown[place] = f"{100 * rate:.6g} %"
    axis.set_major_locator(FixedLocator(list(shown)))
    axis.set_major_formatter(FixedFormatter(list(shown.values())))


def _spoken(curves: Sequence[Curve], form: str) -> str:
    return "; ".join(
        ", ".join(
            form.format(far=mark.label, tar=mark.tar, fnmr=1 - mark.tar) for mark in curve.marks
        )
        for curve in curves
    )
