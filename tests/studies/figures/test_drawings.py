"""Drawings of the studies, in pages and in picture files."""

import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from facever.errors import ConfigError
from facever.render.blocks import Section
from facever.render.svg import svg as draw
from facever.studies.figures.attention import attention_sheet, overlay
from facever.studies.figures.features import feature_figure
from facever.studies.figures.figure_file import write_figures
from facever.studies.figures.kernel import kernel, own_probability
from facever.studies.figures.prototypes import similarity_matrix

POINTS = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, -2.0]])


def panel(metric: str = "cosine", prototypes: np.ndarray | None = POINTS):  # type: ignore[no-untyped-def]
    return feature_figure(
        "features-x", "<head>", POINTS, [0, 1, 2], ["a", "<b>", "c\x00"], prototypes,
        metric=metric, caption="how to read it",
    )  # fmt: skip


def uses(svg: str) -> int:
    return len(re.findall(r"<use ", svg))


def test_every_point_is_drawn_and_prototypes_as_the_metric_wants() -> None:
    drawn = {
        name: draw(panel(metric, prototypes).drawing)
        for name, metric, prototypes in (
            ("none", "cosine", None), ("rays", "dot", POINTS), ("places", "euclidean", POINTS),
        )
    }  # fmt: skip
    for svg in drawn.values():
        ElementTree.fromstring(svg)
        assert "&lt;b&gt;" in svg
    assert uses(drawn["places"]) == uses(drawn["none"]) + 3  # three crosses
    rays = [len(re.findall(r"<path ", drawn[name])) for name in ("rays", "none")]
    assert rays[0] == rays[1] + 3
    assert "prototypes as rays" in panel("dot").drawing.alt


def test_a_page_and_a_picture(tmp_path: Path) -> None:
    panels = [panel(), kernel([1.0, 2.0], 3.0)]
    said = {"title": "t", "verdict": "v <1>", "meaning": "m"}
    write_figures(tmp_path / "x.html", [Section("f", "F", panels)], **said)
    page = (tmp_path / "x.html").read_text()
    assert page.count("<svg") == 2
    assert "v &lt;1&gt;" in page
    assert "how to read it" in page
    for name in ("x.png", "one.png"):
        shown = panels[: 2 if name == "x.png" else 1]
        write_figures(tmp_path / name, [Section("f", "F", shown)], **said)
    two, one = (cv2.imread(str(tmp_path / name)) for name in ("x.png", "one.png"))
    assert two.shape[1] == pytest.approx(2 * one.shape[1], abs=2)
    assert two[0, 0].tolist() == [255, 255, 255]


def test_rows_of_three(tmp_path: Path) -> None:
    panels = [kernel([1.0], 1.0)] * 4
    write_figures(tmp_path / "x.png", [Section("f", "F", panels)], title="", verdict="", meaning="")
    write_figures(
        tmp_path / "y.png", [Section("f", "F", panels[:3])], title="", verdict="", meaning=""
    )
    four, three = (cv2.imread(str(tmp_path / name)).shape for name in ("x.png", "y.png"))
    assert four[1] == three[1]
    assert four[0] == pytest.approx(2 * three[0], abs=2)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x.gif: the file name must end in .html, .png, .svg"):
        write_figures(tmp_path / "x.gif", [], title="", verdict="", meaning="")


@pytest.mark.parametrize("size", [3, 50])
def test_similarity_matrices(size: int) -> None:
    values = np.random.default_rng(0).random((size, size))
    drawn = similarity_matrix(
        "m", "t", values, [f"<p{k}>" for k in range(size)], score="cosine", caption="c"
    )
    svg = draw(drawn.drawing)
    ElementTree.fromstring(svg)
    assert "data:image/png;base64" in svg
    assert ("&lt;p0&gt;" in svg) == (size == 3)  # many names would not be legible


def test_rbf_panels_say_what_they_show() -> None:
    assert "K is one half at 0.83" in kernel([1.0], 3.0).drawing.alt
    shown = own_probability(2.0, [4.0], 10, 3.0)
    assert "s 4: at most 0.8585" in shown.drawing.alt  # FORMULAS: C = 10, s = 4


def test_the_overlay_colours_where_attention_is() -> None:
    image = np.full((64, 32, 3), 120, np.uint8)
    attention = np.zeros((4, 2), np.float32)
    attention[0, 1] = 0.5  # top right
    drawn = overlay(image, attention)
    assert drawn.shape == (144, 72, 3)
    assert (drawn[-30:] == 120).all()  # grey where nothing is looked at
    saturation = np.ptp(drawn.astype(int), axis=2)
    assert np.unravel_index(saturation.argmax(), saturation.shape) < (36, 72)
    assert saturation[:18, 54:].min() > 100
    assert saturation[:18, :18].max() < 10
    assert np.array_equal(overlay(image, attention / 7), drawn)  # relative to its own maximum


def test_the_sheet_has_a_cell_for_each_image_and_keypoint(tmp_path: Path) -> None:
    images = [np.full((32, 32, 3), 255 * k, np.uint8) for k in range(2)]
    attention = {3: np.full((2, 2, 4, 4), 1 / 16), 4: np.full((2, 1, 2, 2), 0.25)}
    attention = {stage: maps.astype(np.float32) for stage, maps in attention.items()}
    sheet = attention_sheet("k", "title", images, ["a.png", "<b>"], attention, "how to read it")
    cell = (144 + 4) / 144
    assert sheet.drawing.size == pytest.approx((4 * cell + 1.5, 2 * cell + 0.4))
    svg = draw(sheet.drawing)
    for text in ("image", "3.1", "3.2", "4.1", "a.png", "&lt;b&gt;"):
        assert f">{text}<" in svg
    assert "3.3" not in svg
    write_figures(
        tmp_path / "k.png", [Section("f", "F", [sheet])], title="t", verdict="v", meaning="m"
    )
    picture = cv2.imread(str(tmp_path / "k.png"))
    width, height = sheet.drawing.size
    assert picture.shape == pytest.approx(((height + 0.3) * 150, width * 150, 3), abs=1)
