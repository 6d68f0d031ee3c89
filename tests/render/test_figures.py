import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import norm

from facever.core.seeding import stream
from facever.render import figures
from facever.render.blocks import Drawing
from facever.render.figures import Cmc, DifferenceBar
from facever.render.figures.learning import _smoothed as smoothed
from facever.render.svg import svg as draw


def point(target: float, far: float, tar: float, low: float, high: float, at: float) -> Any:
    interval = SimpleNamespace(low=low, high=high)
    return SimpleNamespace(far_target=target, far=far, tar=tar, interval=interval, threshold=at)


def measured(
    fmr: np.ndarray, fnmr: np.ndarray, impostors: int, points: Sequence[Any] = (), band: Any = ()
) -> Any:
    return SimpleNamespace(
        curve=SimpleNamespace(fmr=fmr, fnmr=fnmr),
        trials=SimpleNamespace(impostor=impostors),
        operating_points=points,
        band=band,
    )


POINTS = (
    point(1e-2, 0.0098, 0.71, 0.68, 0.74, 0.31),
    point(1e-3, 0.00096, 0.5, 0.47, 0.53, 0.42),
)
FEW = measured(np.array([1.0, 0.5, 0.5, 0.1, 0.0]), np.array([0.0, 0.1, 0.3, 0.4, 1.0]), 10)


def curve(points: Sequence[Any] = POINTS, impostors: int = 50_000) -> Any:
    thresholds = np.linspace(-4, 6, 400)
    return measured(norm.sf(thresholds), norm.cdf(thresholds, 2), impostors, points)


BANDED = measured(
    np.array([1.0, 0.1, 0.01, 0.0]), np.array([0.0, 0.2, 0.5, 1.0]), 1000,
    band=(point(0.1, 0.1, 0.8, 0.7, 0.9, 0), point(0.01, 0.01, 0.5, 0.4, 0.6, 0)),
)  # fmt: skip
RANKED = Cmc("a", [1, 2, 5, 20], [0.5, 0.7, 0.8, 0.9], [0.4, 0.6, 0.7, 0.8], [0.6, 0.8, 0.9, 1.0])
RELIABLE = ([0.1, 0.9], [0.2, 0.8], [0.1, 0.7], [0.3, 0.9], [1000, 10])
TWO = {"<b>$x^{$&": curve(), "other\x00\udcff": curve(())}
FAULTLESS = measured(np.array([1.0, 0.5, 0.0]), np.zeros(3), 2, (point(1, 0, 1, 0.5, 1, 0),))
OPEN_SET = {"rank <1>": (np.array([1.0, 0.5, 0.0]), np.array([0.1, 0.4, 0.9]))}

DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "roc": lambda: figures.roc({"model": curve()}),
    "roc-two": lambda: figures.roc(TWO),
    "roc-few": lambda: figures.roc({"few": FEW}),
    "det": lambda: figures.det({"model": curve()}),
    "det-two": lambda: figures.det(TWO),
    "det-few": lambda: figures.det({"few": FEW}),
    "det-faultless": lambda: figures.det({"": FAULTLESS}),
    "histogram": lambda: figures.histogram([0, 1, 2], [1, 3], [4, 0], POINTS, "a < b & $c$"),
    "loss": lambda: figures.loss([1, 2, 3, 4], [4.0, None, np.nan, 1.0]),
    "loss-unknown": lambda: figures.loss([1, 2], [None, None]),
    "learning-rate": lambda: figures.learning_rate([1, 2], [1e-3, 2e-3]),
    "roc-band": lambda: figures.roc({"banded": BANDED}),
    "det-band": lambda: figures.det({"banded": BANDED}),
    "cmc": lambda: figures.cmc([Cmc("<one>", [1, 5, 10], [0.5, 0.7, 0.9])]),
    "cmc-two": lambda: figures.cmc([RANKED, Cmc("b", [1, 2], [0.1, 0.2])]),
    "open-set": lambda: figures.open_set({**OPEN_SET, "rank 5": OPEN_SET["rank <1>"]}),
    "reliability": lambda: figures.reliability(*RELIABLE),
    "reliability-empty": lambda: figures.reliability([], [], [], [], []),
    "groups": lambda: figures.group_rates(
        "groups-1", ["<a>", "a x b"], [0.1, 0.2], [0.05, 0.1], [0.2, 0.3], "FMR", 0.15
    ),
    "development": lambda: figures.development({"<raw>": ([1, 2], [0.5, None])}, "AUC <"),
}


def labels(svg: str, axis: str) -> dict[str, float]:
    """Return the tick labels of an axis and their places: x of the bottom ones, y of the left."""
    root = ElementTree.fromstring(svg)
    anchor = "text-anchor: middle" if axis == "x" else "text-anchor: end"
    found = {}
    for text in root.iter("text"):
        style, label = text.attrib["style"], text.text or ""
        if anchor in style and "muted" in style and re.fullmatch(r"[\d.e−-]+( %)?", label):
            found[label] = float(text.attrib["x" if axis == "x" else "y"])
    return found


def rate_of(label: str) -> float:
    return float(label.removesuffix(" %")) / 100


def assert_affine(values: list[float], places: list[float]) -> None:
    assert len(values) >= 4
    fit = np.polyval(np.polyfit(values, places, 1), values)
    np.testing.assert_allclose(places, fit, atol=0.05)


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_is_the_same_twice_and_stands_alone(name: str) -> None:
    svg = draw(DRAWINGS[name]())
    assert svg == draw(DRAWINGS[name]())
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) == set(ids)
    assert not {"style", "script", "metadata", "image"} & {element.tag for element in root.iter()}
    assert "http" not in svg
    assert "font-family" not in svg
    assert len(svg) < 150_000
    # every colour follows the page's theme: no hexadecimal one outside of a var(--...)
    assert not re.search(r"#[0-9a-f]{6}", re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", svg))


def test_names_are_text_and_never_markup_or_formulas() -> None:
    root = ElementTree.fromstring(draw(DRAWINGS["roc-two"]()))
    texts = [text.text for text in root.iter("text")]
    assert "<b>$x^{$&" in texts
    assert "other��" in texts


def test_figures_of_one_page_share_no_id() -> None:
    found: list[str] = []
    for name in ("roc-few", "det-few", "histogram", "loss", "learning-rate", "development"):
        found += re.findall(r'id="([^"]+)"', draw(DRAWINGS[name]()))
    assert found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("axis", ["x", "y"])
def test_det_axes_are_probits(axis: str) -> None:
    ticks = labels(draw(figures.det({"m": curve()})), axis)
    assert_affine([norm.ppf(rate_of(label)) for label in ticks], list(ticks.values()))


def test_det_ticks_do_not_crowd() -> None:
    ticks = sorted(labels(draw(figures.det({"m": curve(impostors=10**8)})), "x").values())
    assert min(b - a for a, b in pairwise(ticks)) > 25


def test_det_of_two_normal_distributions_is_a_straight_line() -> None:
    svg = draw(figures.det({"m": curve(())}))
    x, y = points(svg, "--series-1")
    fit = np.polyfit(x, y, 1)
    # drawn in steps: the corners lie beside the line by at most one step
    assert np.abs(np.polyval(fit, x) - y).max() < 3
    assert fit[0] > 0  # downwards to the right: y grows downwards in an SVG


def test_roc_axis_is_logarithmic() -> None:
    ticks = labels(draw(figures.roc({"m": curve()})), "x")
    assert set(ticks) >= {"1e-4", "1e-3", "1e-2", "1e-1", "1"}
    assert_affine([np.log10(float(label)) for label in ticks], list(ticks.values()))


def test_roc_goes_through_its_points_and_its_marks() -> None:
    curve = FEW.curve
    svg = draw(figures.roc({"m": measured(curve.fmr, curve.fnmr, 1000, POINTS[:1])}))
    across, up = scale(svg, "x", np.log10), scale(svg, "y", lambda value: value)
    x, y = points(svg, "--series-1")
    drawn = {(round(a, 4), round(b, 3)) for a, b in zip(across(x), up(y), strict=True)}
    # false accept rate 0 cannot be shown; the mark counts although the curve lacks it; where two
    # points have the same false accept rate the better one goes on to the right
    expected = [(0.0098, 0.71), (0.1, 0.71), (0.1, 0.6), (0.5, 0.9), (1.0, 0.9), (1.0, 1.0)]
    for far, tar in expected:
        assert any(abs(a - np.log10(far)) < 0.01 and abs(b - tar) < 0.005 for a, b in drawn), (
            far,
            tar,
            sorted(drawn),
        )


def test_histogram_shows_shares_of_each_class() -> None:
    svg = draw(figures.histogram([0, 1, 2], [1, 3], [400, 100]))
    height = scale(svg, "y", lambda value: value)
    genuine, impostor = (height(points(svg, name)[1]) for name in ("--series-1", "--series-2"))
    assert sorted(set(np.round(genuine, 2))) == [0, 0.25, 0.75]
    assert sorted(set(np.round(impostor, 2))) == [0, 0.2, 0.8]


def test_the_band_holds_the_intervals() -> None:
    svg = draw(figures.roc({"banded": BANDED}))
    across, up = scale(svg, "x", np.log10), scale(svg, "y", lambda value: value)
    x, y = region(svg)
    drawn = {(round(a, 2), round(b, 2)) for a, b in zip(across(x), up(y), strict=True)}
    assert drawn == {(-2.0, 0.4), (-2.0, 0.6), (-1.0, 0.7), (-1.0, 0.9)}


def test_the_band_of_a_det_curve_is_that_of_the_misses() -> None:
    x, y = region(draw(figures.det({"banded": BANDED})))
    left = sorted(y[x < x.mean()])[-1] - sorted(y[x < x.mean()])[0]
    right = sorted(y[x > x.mean()])[-1] - sorted(y[x > x.mean()])[0]
    # probits: from 0.4 to 0.6 at the left, from 0.1 to 0.3 at the right
    wanted = (norm.ppf(0.6) - norm.ppf(0.4)) / (norm.ppf(0.3) - norm.ppf(0.1))
    assert left / right == pytest.approx(wanted, rel=0.01)
    assert y[x < x.mean()].mean() < y[x > x.mean()].mean()  # fewer misses lie lower


def test_cmc_rises_in_steps_at_its_ranks() -> None:
    svg = draw(figures.cmc([RANKED]))
    across, up = scale(svg, "x", np.log10), scale(svg, "y", lambda value: value)
    x, y = points(svg, "--series-1")
    drawn = {(round(10**a), round(b, 2)) for a, b in zip(across(x), up(y), strict=True)}
    assert {(1, 0.5), (2, 0.5), (2, 0.7), (5, 0.7), (5, 0.8), (20, 0.8), (20, 0.9)} <= drawn


def test_a_group_has_its_row() -> None:
    svg = draw(DRAWINGS["groups"]())
    texts = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    assert {"<a>", "a x b"} <= set(texts)
    dots = [
        (float(use.attrib["x"]), float(use.attrib["y"]))
        for use in ElementTree.fromstring(svg).iter("use")
        if "--series-1" in use.attrib["style"]
    ]
    (x_first, y_first), (x_second, y_second) = dots
    assert y_first < y_second
    assert x_first < x_second


def test_loss_is_smoothed_around_each_point() -> None:
    random = stream(0, "loss")
    values = random.normal(size=200)
    smooth = smoothed(values)
    expected = [values[max(k - 5, 0) : k + 6].mean() for k in range(200)]
    np.testing.assert_allclose(smooth, expected, atol=1e-12)


def points(svg: str, color: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the longest line of a colour."""
    lines = [
        path.attrib["d"]
        for path in ElementTree.fromstring(svg).iter("path")
        if f"stroke: var({color}," in path.attrib.get("style", "") and "clip-path" in path.attrib
    ]
    corners = np.array(re.findall(r"[ML] (\S+) (\S+)", max(lines, key=len)), np.float64)
    return corners[:, 0], corners[:, 1]


def region(svg: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the filled band of the first curve."""
    root = ElementTree.fromstring(svg)
    filled = next(e for e in root.iter() if "opacity: 0.15" in e.attrib.get("style", ""))
    shape, move = filled, (0.0, 0.0)
    if filled.tag == "use":
        shape = next(
            p for p in root.iter("path") if p.attrib.get("id") == filled.attrib["href"][1:]
        )
        move = float(filled.attrib["x"]), float(filled.attrib["y"])
    corners = np.array(re.findall(r"[ML] (\S+) (\S+)", shape.attrib["d"]), np.float64)
    return corners[:, 0] + move[0], corners[:, 1] + move[1]


def scale(
    svg: str, axis: str, transform: Callable[[float], float]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what turns places of an axis into (transformed) values."""
    ticks = labels(svg, axis)
    values = [transform(float(label)) for label in ticks]
    places = list(ticks.values())
    if axis == "y":  # a label's baseline lies lower than its tick
        offset = _tick_offset(svg)
        places = [place - offset for place in places]
    fit = np.polyfit(places, values, 1)
    return lambda wanted: np.polyval(fit, wanted)


def _tick_offset(svg: str) -> float:
    ticks = labels(svg, "y")
    uses = [
        float(use.attrib["y"])
        for use in ElementTree.fromstring(svg).iter("use")
        if float(use.attrib["x"]) < 60 and "--muted" in use.attrib["style"]
    ]
    return float(max(ticks.values()) - max(uses))


def test_learning_curves_are_over_the_updates_that_all_seeds_have() -> None:
    svg = draw(
        figures.learning_curves(
            {"<a>": [[(1, 0.5), (2, 0.6), (3, 9)], [(1, 0.7), (2, 0.8)]]}, "AUC"
        )
    )
    assert "at the end: &lt;a&gt; 0.700" in svg


def test_differences_are_spoken_with_their_intervals() -> None:
    bars = [DifferenceBar("<a>", "over seeds", 0.1, -0.1, 0.3),
            DifferenceBar("<a>", "over people", 0.1, 0.05, 0.15)]  # fmt: skip
    svg = draw(figures.differences(bars, "TAR at FAR 1e-2", "base"))
    ElementTree.fromstring(svg)
    assert "&lt;a&gt; over seeds: +0.100 (-0.100 to +0.300)" in svg
    assert svg.count("<use ") >= 2


def test_a_drawings_own_size_is_kept_as_a_ratio_in_a_page() -> None:
    wide = Drawing("w", "alt", lambda axes: None, size=(9.4, 1.88))
    ratio = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', draw(wide))
    assert ratio is not None
    assert float(ratio[1]) / float(ratio[2]) == pytest.approx(5, rel=1e-3)
