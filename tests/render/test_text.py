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
    Range,
    Section,
    Table,
)
from facever.render.text import sections_text, table

ENDS = Range(Number("0.3", 0.3), Number("0.5", 0.5))


def test_table_is_aligned() -> None:
    text = table(["far", "tar"], [["1e-2", 0.4], ["1e-3", 0.25]])
    assert text.splitlines() == [" far   tar", "----  ----", "1e-2   0.4", "1e-3  0.25"]


def test_every_kind_of_block_has_its_lines_and_figures_none() -> None:
    blocks = [
        Facts([("trials", Number("1,234", 1234)), ("a longer name", "x")]),
        Figure("ROC", Drawing("roc", "alt", lambda axes: None)),
        Table("points", ["FAR", "95%"], [[Number("1e-2", 0.01), ENDS]]),
        Note("how they were made"),
        Note("mind this", warning=True),
        List("files: 2", ["a", "b"]),
        Comparisons(
            "pairs",
            "the highest",
            [Comparison(Picture.of_row(3), [Picture.of_row(7)], "two", "bad", Number("0.9", 0.9))],
        ),
    ]
    assert sections_text([Section("s", "Not shown alone", blocks, "The lead.")]) == (
        "The lead.\n"
        "\n"
        "trials         1,234\n"
        "a longer name  x\n"
        "\n"
        "points\n"
        " FAR  95%\n"
        "----  ----------\n"
        "1e-2  [0.3, 0.5]\n"
        "how they were made\n"
        "warning: mind this\n"
        "\n"
        "files: 2\n"
        "  a\n"
        "  b\n"
        "\n"
        "pairs: the highest\n"
        "  row 3 and row 7: 0.9"
    )


def test_several_sections_have_their_titles() -> None:
    text = sections_text([Section("a", "One", [Note("x")]), Section("b", "Two", [Note("y")])])
    assert text == "ONE\n\nx\n\nTWO\n\ny"


def test_escape_codes_are_spelled_out_everywhere() -> None:
    odd = "a\x1b[31m\nb"
    blocks = [
        Facts([(odd, odd)]),
        Table(odd, [odd], [[odd]]),
        Note(odd),
        List(odd, [odd]),
        Comparisons(odd, odd, [Comparison(Picture(odd), [], odd)]),
    ]
    assert "\x1b" not in sections_text([Section("s", odd, blocks, odd)])


def test_headers_take_several_lines_before_a_table_is_divided() -> None:
    rows = [["one", "0.1234", "7"]]
    headers = ["name", "false accept rate", "count"]
    assert table(headers, rows, 30).splitlines() == table(headers, rows).splitlines()
    assert table(headers, rows, 20).splitlines() == [
        "       false",
        "      accept",
        "name    rate  count",
        "----  ------  -----",
        "one   0.1234      7",
    ]


def test_a_table_wider_than_the_terminal_is_divided_behind_its_first_column() -> None:
    headers = ["name", *(f"column{k}" for k in range(8))]
    rows = [["first", *("0.123456" for _ in range(8))], ["second", *"12345678"]]
    text = table(headers, rows, 40)
    assert max(map(len, text.splitlines())) <= 40
    parts = text.split("\n\n")
    assert [part.split()[0] for part in parts] == ["name"] * len(parts)
    named = [word for part in parts for word in part.splitlines()[0].split()[1:]]
    assert named == headers[1:]
    assert table(headers, rows).count("name") == 1


def test_long_lines_are_filled_and_values_stand_below_each_other() -> None:
    value = "word " * 20
    lines = sections_text([Section("s", "", [Facts([("key", value)])])], 40).splitlines()
    assert max(map(len, lines)) <= 40
    assert all(line.startswith("     word") for line in lines[1:])
