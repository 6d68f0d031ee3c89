"""A result writes one description; its text, HTML and data frame follow from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

from facever.render.blocks import Drawing, Facts, Figure, Note, Number, Range, Section, Table
from facever.render.result import Result
from facever.render.svg import plot

HOSTILE = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Measured(Result):
    rates: list[float]
    warnings: list[str] = field(default_factory=list)

    json_keys = "rates warnings"

    def describe(self) -> list[Section]:
        rows = [
            [name, Number(f"{rate:.2f}", rate), Range(Number("0", rate - 1), Number("1", rate + 1))]
            for name, rate in zip("ab", self.rates, strict=True)
        ]
        drawn = Figure("F", Drawing("f", "alt", lambda axes: axes.plot([0, 1], [0, 1])))
        first = [Facts([("trials", "7")]), drawn, Table("", ["who", "TAR", "95%"], rows)]
        return [Section("one", "One", [*first, Note("made so")]), Section("two", "Two", first)]


RESULT = Measured([0.123456, 0.5], ["mind the <gap>"])


def test_the_repr_is_the_facts_the_main_table_and_the_warnings() -> None:
    assert repr(RESULT).splitlines() == [
        "trials  7",
        "",
        "who   TAR  95%",
        "---  ----  ------",
        "a    0.12  [0, 1]",
        "b    0.50  [0, 1]",
        "warning: mind the <gap>",
    ]
    assert "made so" in RESULT.to_text()
    assert RESULT.to_text().startswith("ONE\n\ntrials  7")
    assert "gap" not in RESULT.to_text()  # commands print it on standard error


def test_a_notebook_shows_the_same_in_full_precision(read_page: Callable[[str], Any]) -> None:
    shown = RESULT._repr_html_()
    page = read_page(f"<!DOCTYPE html><html>{shown}</html>")
    assert page.numbers == [0.123456, -0.876544, 1.123456, 0.5, -0.5, 1.5]
    assert "mind the <gap>" in page.text
    assert len(page.all("table")) == 1
    assert not page.all("svg")


def test_the_frame_is_the_main_table() -> None:
    expected = pd.DataFrame(
        {
            "who": ["a", "b"],
            "TAR": [0.123456, 0.5],
            "TAR low": [0.123456 - 1, -0.5],
            "TAR high": [1.123456, 1.5],
        }
    )
    pd.testing.assert_frame_equal(RESULT.to_frame(), expected)


def test_a_result_without_a_table_has_no_frame() -> None:
    class Bare(Measured):
        def describe(self) -> list[Section]:
            return [Section("s", "S", [Facts([("a", "b")])])]

    with pytest.raises(ValueError, match="Bare has no table"):
        Bare([]).to_frame()
    assert repr(Bare([])) == "a  b"


def test_a_drawing_goes_into_axes_of_ones_own_or_into_new_ones() -> None:
    mpl.use("agg")
    from matplotlib import pyplot

    drawing = RESULT.describe()[0].blocks[1].drawing  # type: ignore[union-attr]
    before = mpl.rcParams.copy()
    _, axes = pyplot.subplots()
    assert plot(drawing, axes) is axes
    other = plot(drawing)
    assert other is not axes
    assert all(len(each.lines) == 1 for each in (axes, other))
    assert mpl.rcParams == before  # what is drawn leaves no setting behind
    pyplot.close("all")
