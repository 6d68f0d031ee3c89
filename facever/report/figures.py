"""The report's figures: each a function from numbers to the text of an `<svg>` element."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from facever.report.drawing import GENUINE, IMPOSTOR, INK, MUTED, PAPER, SERIES, draw, printable
from facever.report.numbers import FEW_ERRORS, far_text, rate_text

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
class Curve:
    """One system's trade-off between the two errors.

    Args:
        name: As the legend names it.
        fmr: float [K], false match rates at the thresholds of the curve.
        fnmr: float [K], false non-match rates at the same thresholds.
        impostors: Number of impostor trials, which says how far left the curve can be trusted.
        genuines: Number of genuine trials.
        marks: Operating points.
    """

    name: str
    fmr: Floats
    fnmr: Floats
    impostors: int
    genuines: int
    marks: Sequence[Mark] = ()


def roc(curves: Sequence[Curve]) -> str:
    """Draw true accept rate over false accept rate, the latter in powers of ten."""
    lowest = min(0.1, *(1 / curve.impostors for curve in curves))

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        for color, curve in zip(_colors(curves), curves, strict=True):
            fmr, fnmr = _with_marks(curve)
            fmr, tar = np.append(fmr[fmr > 0], 1.0), np.append(1 - fnmr[fmr > 0], 1.0)
            axes.plot(fmr, tar, color=color, drawstyle="steps-post", label=printable(curve.name))
            for mark in curve.marks:
                x = max(mark.far, lowest)
                axes.vlines(x, mark.low, mark.high, color=color, linewidth=1.2)
                axes.plot(x, mark.tar, "o", color=color, markersize=5)
                if len(curves) == 1:
                    _say(axes, rate_text(mark.tar), (x, mark.tar), (-5, 2), "right", "bottom")
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
            for mark in curve.marks:
                at = ndtri(max(mark.far, limits[0]))
                rates = [1 - mark.high, 1 - mark.tar, 1 - mark.low]
                low, middle, high = ndtri(np.clip(rates, 1e-9, 1 - 1e-9))
                axes.vlines(at, low, high, color=color, linewidth=1.2)
                axes.plot(at, middle, "o", color=color, markersize=5)
                if len(curves) == 1:
                    _say(axes, f"FAR {mark.label}", (at, middle), (6, 3), "left", "bottom")
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
            _say(axes, f"FAR {mark.label}", at, (3, 0), "left", "top")
        axes.set(xlabel=printable(score), ylabel="share of the trials", ylim=(0, top))
        axes.set_xlim(borders[0], borders[-1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=2)

    spoken = ", ".join(f"threshold {mark.threshold:.4f} at FAR {mark.label}" for mark in marks)
    return draw("histogram", f"Histograms of genuine and impostor scores. {spoken}", paint)


def loss(steps: ArrayLike, values: ArrayLike) -> str:
    """Draw the training loss over updates: as logged, and smoothed."""
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    smooth = _smoothed(y)

    def paint(axes: Axes) -> None:
        axes.plot(x, y, color=GENUINE, linewidth=1, alpha=0.35, label="as logged")
        axes.plot(x, smooth, color=GENUINE, label="smoothed")
        axes.set(xlabel="update", ylabel="training loss")
        axes.legend(loc="upper right")

    ends = f"From {y[0]:.3f} to {smooth[-1]:.3f}." if len(y) else ""
    return draw("loss", f"Training loss over {len(y)} logged updates. {ends}", paint, height=3.2)


def learning_rate(steps: ArrayLike, values: ArrayLike) -> str:
    """Draw the learning rate over updates."""
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)

    def paint(axes: Axes) -> None:
        axes.plot(x, y, color=GENUINE)
        axes.set(xlabel="update", ylabel="learning rate")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

    return draw(
        "learning-rate", f"Learning rate over updates; at most {y.max():g}.", paint, height=3.2
    )


def development(series: Mapping[str, tuple[ArrayLike, ArrayLike]], figure: str) -> str:
    """Draw a figure of the development identities over updates.

    Args:
        series: By name of the weights ("raw", "ema"): updates and values, NaN where not known.
        figure: What is drawn, such as "TAR at FAR 1e-2".
    """

    def paint(axes: Axes) -> None:
        for place, (name, (steps, values)) in enumerate(series.items()):
            color = SERIES[place % len(SERIES)]
            axes.plot(
                np.asarray(steps, np.float64), np.asarray(values, np.float64), "o-",
                color=color, markersize=4, label=printable(name),
            )  # fmt: skip
        axes.set(xlabel="update", ylabel=f"development {printable(figure)}")
        if len(series) > 1:
            axes.legend(loc="best")

    return draw("development", f"{figure} on development identities.", paint, height=3.2)


def _with_marks(curve: Curve) -> tuple[Floats, Floats]:
    """Return the rates in ascending FMR, the marks among them: a thinned curve may lack them."""
    fmr = np.append(curve.fmr, [mark.far for mark in curve.marks])
    fnmr = np.append(curve.fnmr, [1 - mark.tar for mark in curve.marks])
    order = np.lexsort((-fnmr, fmr))  # of equal FMR the lowest FNMR counts, so it comes last
    return fmr[order], fnmr[order]


def _smoothed(values: Floats) -> Floats:
    """Return the mean of the values around each, over about a twentieth of them."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


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


def _say(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    ha: str,
    va: str,
) -> None:
    """Write beside a point, on the paper's colour so that lines do not cross it."""
    axes.annotate(
        text, at, offset, textcoords="offset points", ha=ha, va=va, fontsize=8.5, zorder=4,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )  # fmt: skip


def _spoken(curves: Sequence[Curve], form: str) -> str:
    return "; ".join(
        ", ".join(
            form.format(far=mark.label, tar=mark.tar, fnmr=1 - mark.tar) for mark in curve.marks
        )
        for curve in curves
    )
