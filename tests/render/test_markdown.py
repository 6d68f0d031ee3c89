from facever.render.blocks import Drawing, Facts, Figure, List, Note, Number, Range, Section, Table
from facever.render.markdown import escaped, sections_markdown

NUMBER = Number("0.5", 0.5)


def test_blocks_become_tables_and_paragraphs() -> None:
    blocks = [
        Facts([("AUC", NUMBER), ("name", "a|b")], "Facts"),
        Table("All", ["x", "95%"], [["1", Range(NUMBER, NUMBER)]]),
        Note("Too few.", warning=True),
        List("Next:", ["one", "two"]),
        Figure("left out", Drawing("f", "alt", lambda axes: None)),
    ]
    text = sections_markdown([Section("a", "Title", blocks, "Lead.")], 3)
    assert text.split("\n\n") == [
        "### Title",
        "Lead.",
        "**Facts**",
        "|  |  |\n| --- | --- |\n| AUC | 0.5 |\n| name | a\\|b |",
        "**All**",
        "| x | 95% |\n| --- | --- |\n| 1 | \\[0.5, 0.5\\] |",
        "**Warning:** Too few.",
        "**Next:**",
        "- one\n- two",
    ]


def test_nothing_in_a_text_is_markup() -> None:
    assert escaped("a\n# b <script> `x` [y](z)\x1b") == (
        "a \\# b \\<script\\> \\`x\\` \\[y\\](z)\\\\x1b"
    )
