"""Every shell block of every document is run by a test, or says why not."""

from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(PROJECT.glob("*.md")), PROJECT / "data/README.md"]
DOCUMENTS += sorted((PROJECT / "docs").rglob("*.md"))
TESTS = [
    path.read_text() for path in (PROJECT / "tests").rglob("test_*.py") if path != Path(__file__)
]
OTHER_LINES = {"docs/service.md"}
"""Documents whose tests also look at lines that are not commands of facever."""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_blocks_are_run_or_say_why_not(path: Path) -> None:
    name = path.relative_to(PROJECT).as_posix()
    runs = [block for block in blocks_of(path) if not block.reason]
    for block in runs if name not in OTHER_LINES else ():
        for line in block.code.replace("\\\n", " ").splitlines():
            is_run = line.startswith(("facever", "#")) or not line
            assert is_run, f"{name}: mark the block of '{line}': <!-- not run: REASON -->"
    assert not runs or any(path.name in text for text in TESTS), f"no test runs {name}"


def test_the_reader_of_blocks_sees_marks(tmp_path: Path) -> None:
    text = "a\n\n<!-- not run: hours -->\n```bash\nfacever x\n```\n\n"
    text += "   ```bash\n   facever y\n   ```\n"
    (tmp_path / "page.md").write_text(text)
    first, second = blocks_of(tmp_path / "page.md")
    assert (first.code, first.reason) == ("facever x\n", "hours")
    assert (second.code.strip(), second.reason) == ("facever y", "")
