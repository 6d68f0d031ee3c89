from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facever.errors import ConfigError
from facever.render.blocks import (
    Comparison,
    Comparisons,
    Drawing,
    Facts,
    Figure,
    List,
    Note,
    Number,
    Picture,
    Section,
    Sheet,
    Table,
)
from facever.render.page import Report, Tile, render, write_report

Reader = Callable[[str], Any]
HOSTILE = '<script>alert("x")</script>&amp;\' onerror=1 $x^{'
URI = "data:image/jpeg;base64,AAAA"
DRAWING = Drawing("d", HOSTILE, lambda axes: axes.set_title("3 < 4"))
FACE = Picture(HOSTILE, HOSTILE, URI, score=Number(HOSTILE, 0.5), tone="good")
GONE = Picture(HOSTILE, HOSTILE, reason=HOSTILE)
EVERYTHING = Report(
    HOSTILE,
    HOSTILE,
    HOSTILE,
    [Tile(HOSTILE, Number("0.4", 0.41234567890123), HOSTILE), Tile("a", HOSTILE)],
    [
        Section(
            "one",
            HOSTILE,
            [
                Note(HOSTILE),
                Note(HOSTILE, warning=True),
                Facts([(HOSTILE, HOSTILE), ("n", Number("1,234", 1234))], HOSTILE),
                Facts([(HOSTILE, HOSTILE)], HOSTILE, folded=True),
                Table(HOSTILE, [HOSTILE, "b"], [[HOSTILE, Number("1e-3", 1e-3)]]),
                Table(HOSTILE, ["a"], [[Number("7", 7)]], folded=True),
                List(HOSTILE, [HOSTILE]),
                Figure(HOSTILE, DRAWING, HOSTILE),
                Comparisons(
                    HOSTILE,
                    HOSTILE,
                    [
                        Comparison(FACE, [GONE], HOSTILE, "bad", Number("0.25", 0.25)),
                        Comparison(GONE, [FACE, FACE, GONE], HOSTILE),
                    ],
                ),
                Sheet(HOSTILE, FACE, HOSTILE),
                Sheet(HOSTILE, GONE, HOSTILE),
            ],
            HOSTILE,
        ),
        Section("two", "Two", []),
    ],
)


def test_hostile_text_stays_text_in_every_block(read_page: Reader) -> None:
    html = render(EVERYTHING)
    page = read_page(html)
    assert "<script" not in html
    assert page.all("h1")[0].text == HOSTILE
    assert page.all("td")[0].text == "1e-3"
    assert page.all("th")[0].text == HOSTILE
    assert [item.text for item in page.of_class("span", "badge")] == [HOSTILE, HOSTILE]
    # an attribute made of a name holds the name and ends where it should
    image = page.all("img")[0]
    assert set(image.attributes) == {"src", "alt"}
    assert image.attributes["alt"] == f"{HOSTILE} {HOSTILE}"


def test_numbers_keep_their_full_value(read_page: Reader) -> None:
    assert read_page(render(EVERYTHING)).numbers[:2] == [0.41234567890123, 1234]


def test_drawings_are_not_escaped_again(read_page: Reader) -> None:
    assert "3 < 4" in [text.text for text in read_page(render(EVERYTHING)).all("text")]


def test_accessible(read_page: Reader) -> None:
    page = read_page(render(EVERYTHING))
    assert page.all("html")[0].attributes["lang"] == "en"
    assert all(image.attributes["alt"] for image in page.all("img"))
    missing = page.of_class("div", "missing")
    assert len(missing) == 4
    assert all(element.attributes["role"] == "img" for element in missing)
    assert all(element.clean == " ".join(HOSTILE.split()) for element in missing)
    for table in page.all("table"):
        assert table.all("caption")
        assert all(head.attributes["scope"] in ("col", "row") for head in table.all("th"))


def test_nothing_may_be_loaded_or_run(read_page: Reader) -> None:
    metas = read_page(render(EVERYTHING)).all("meta")
    policies = [
        meta.attributes["content"]
        for meta in metas
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_characters_that_no_page_can_hold_are_shown_as_such(
    tmp_path: Path, read_page: Reader
) -> None:
    odd = replace(EVERYTHING, title="a\x00b\x1b\udce9c", verdict="x\ud800")
    write_report(odd, tmp_path / "page.html")
    page = read_page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.all("h1")[0].text == "a�b��c"


def test_long_names_may_break_after_their_parts(read_page: Reader) -> None:
    html = render(EVERYTHING)
    name = "a_b/c.d-e"
    face = Picture(name, uri=URI)
    shown = replace(
        EVERYTHING, sections=[Section("s", "S", [Comparisons("", "", [Comparison(face, [], "")])])]
    )
    html = render(shown)
    assert "a_<wbr>b/<wbr>c.<wbr>d-<wbr>e" in html
    assert read_page(html).all("b")[0].text == name


def test_a_power_of_ten_is_not_broken(read_page: Reader) -> None:
    verdict = read_page(render(replace(EVERYTHING, verdict="<b> at FAR 1e-2, 9.98e-13"))).of_class(
        "p", "verdict"
    )[0]
    assert verdict.text == "<b> at FAR 1e-2, 9.98e-13"
    assert [span.text for span in verdict.all("span")] == ["1e-2", "9.98e-13"]


def test_the_footer_says_whether_there_are_pictures(read_page: Reader) -> None:
    assert "contains pictures of people" in render(EVERYTHING)
    hidden = Comparisons("", "", [Comparison(Picture("Ada"), [Picture("Ben")], "")])
    without = replace(EVERYTHING, sections=[Section("s", "S", [hidden])])
    assert "contains no pictures" in render(without)
    assert not read_page(render(without)).of_class("div", "missing")


def test_equal_reports_give_equal_pages() -> None:
    assert render(EVERYTHING) == render(EVERYTHING)


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a folder: name the file to write"):
        write_report(EVERYTHING, tmp_path)
