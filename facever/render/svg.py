"""Drawings by matplotlib: as inline SVG with the page's colours, in a file, or on axes.

The SVG has no external references, no ids shared with other figures, no date, and text as text;
its colours are CSS variables with the values of the light theme as fallback.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from facever.core.extras import named_extras
from facever.core.files import atomic_path
from facever.render.blocks import SIZE, Drawing, Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, PAPER = "#1b2430", "#5b6675", "#dfe3e8", "#fefefe"
GENUINE, IMPOSTOR = "#1f62c9", "#c8500c"
SERIES = (GENUINE, IMPOSTOR, "#2b7d4f", "#8a4fbf", "#a37a00", "#a8325c")

_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    **{color: f"series-{place}" for place, color in enumerate(SERIES, start=1)},
}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib: same text size on every machine
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "path.simplify": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.color": MUTED,
    "ytick.labelsize": 9,
}
_REFERENCE = re.compile(r"#([\w.-]+)")
_FONT = re.compile(r"font-family: [^;]+;? ?")  # the font of the page applies
_DIGITS = re.compile(r"(\.\d\d)\d+")  # a precision of 0.01 points is enough
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Return `text` with characters that are invalid in HTML replaced by U+FFFD."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def svg(drawing: Drawing) -> str:
    """Return a drawing as one `<svg>` element of the page's width."""
    with _style(drawing.name):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Canvas

        height = drawing.size[1] * SIZE[0] / drawing.size[0]
        canvas = Canvas(figsize=(SIZE[0], height), layout="constrained")
        FigureCanvasSVG(canvas)
        drawing.paint(canvas.subplots())
        buffer = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(buffer, format="svg", metadata=nothing)
    return _inline(buffer.getvalue(), drawing.alt)


def plot(drawing: Drawing, axes: "Axes | None" = None) -> "Axes":
    """Draw into the given axes, or into new axes of pyplot (shown by notebooks)."""
    with _style(drawing.name):
        if axes is None:
            from matplotlib import pyplot

            _, axes = pyplot.subplots(figsize=drawing.size, layout="constrained", facecolor="white")
        drawing.paint(axes)
    return axes


def save_figures(path: Path, figures: Sequence[Figure], columns: int = 3) -> None:
    """Write figures side by side to a .png, .svg or .pdf file, atomically, on a white ground."""
    columns = min(columns, len(figures))
    rows = -(-len(figures) // columns)
    with _style(path.stem):
        from matplotlib.figure import Figure as Canvas

        width, height = np.max([figure.drawing.size for figure in figures], axis=0)
        size = (width * columns, (height + 0.3) * rows)
        canvas = Canvas(figsize=size, layout="constrained", facecolor="white")
        grid = canvas.subplots(rows, columns, squeeze=False).ravel()
        for axes, figure in zip(grid, figures, strict=False):
            figure.drawing.paint(axes)
            axes.set_title(printable(figure.title), fontsize=11)
        for axes in grid[len(figures) :]:
            axes.set_axis_off()
        with atomic_path(path) as temporary:
            canvas.savefig(temporary, dpi=150)


@contextmanager
def _style(salt: str) -> Iterator[None]:
    with named_extras():
        import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        yield


def say(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    ha: str,
    va: str,
) -> None:
    """Write next to a point, on the background colour so that no line crosses the text."""
    axes.annotate(
        text, at, offset, textcoords="offset points", ha=ha, va=va, fontsize=8.5, zorder=4,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )  # fmt: skip


def _inline(text: str, alt: str) -> str:
    """Convert a matplotlib SVG file to an inline element."""
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        parent.text = parent.text if parent.text and parent.text.strip() else None
        for child in list(parent):
            child.tail = None
            if child.tag.endswith(
                ("}metadata", "}style")
            ):  # a <style> would apply to the whole page
                parent.remove(child)
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in _REFERENCE.findall(value)
    }
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        element.attrib = {key: _attribute(key, value) for key, value in attributes.items()}
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": "figure",
        "role": "img",
        "aria-label": printable(alt),
        "stroke-linejoin": "round",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(key: str, value: str) -> str:
    if key == "style":
        for color, variable in _VARIABLES.items():
            value = value.replace(color, f"var(--{variable}, {color})")
        return _FONT.sub("", value)
    return value if key in ("id", "href", "clip-path") else _DIGITS.sub(r"\1", value)
