"""The pages of the site: each has a place, and links and notebooks work."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupytext", reason="no jupytext: pip install 'facever[docs]'")
pytest.importorskip("mkdocs", reason="no mkdocs: pip install 'facever[docs]'")
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tools.docs import api
from tools.docs.__main__ import GENERATED, examples, sources, with_links
from tools.docs.notebooks import execute, write

PROJECT = Path(__file__).parents[2]


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    inside = nav.values() if isinstance(nav, dict) else nav
    return [page for one in inside for page in _pages(one)]


def _config(folder: Path) -> Any:
    """The settings of the site; its gathered pages are not needed."""
    return load_config(str(PROJECT / "mkdocs.yml"), strict=False, docs_dir=str(folder))


def test_every_page_has_a_place(tmp_path: Path) -> None:
    config = _config(tmp_path)
    placed = _pages(config.nav)
    made = {page for page in sources().values() if page.endswith(".md")} | set(GENERATED)
    made |= {f"reference/api/{name}.md" for name in api.pages(examples())}
    assert made - set(placed) == set(), "write its line into the nav of mkdocs.yml"
    assert set(placed) - made == set(), "the nav of mkdocs.yml names pages that are not there"
    assert len(placed) == len(set(placed))


def test_the_kinds_of_page(tmp_path: Path) -> None:
    config = _config(tmp_path)
    assert [next(iter(kind)) for kind in config.nav] == ["Start", "How to", "Concepts", "Reference"]
    assert config.theme["font"] is False  # no outside resource


def test_links_to_files_elsewhere_become_links_to_their_pages(tmp_path: Path) -> None:
    pages = {tmp_path / "docs/a/b.md": "a/b.md", tmp_path / "C.md": "project/c.md"}
    text = "[c](../../C.md#part) [b](b.md) [x](x.md) [out](https://example.org/C.md)"
    assert with_links(text, tmp_path / "docs/a/b.md", "a/b.md", pages) == (
        "[c](../project/c.md#part) [b](b.md) [x](x.md) [out](https://example.org/C.md)"
    )


def test_a_notebook_shows_what_is_printed_and_the_last_value(tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(
        "# %% [markdown]\n# # Title\n\n# %%\nprint('said')\nx = 2\nx + 1\n\n# %%\nx;\n"
    )
    page, notebook = execute(script, tmp_path)
    assert page.startswith("# Title\n")
    assert "said" in page
    assert "```text\n3\n```" in page
    assert [output.output_type for output in notebook.cells[1].outputs] == [
        "stream",
        "execute_result",
    ]
    write(script, tmp_path)
    assert (tmp_path / "small.ipynb").is_file()


def test_a_drawing_becomes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = Path("drawn.py")  # relative, as tools/docs.sh gives its folder
    script.write_text("# %%\nfrom matplotlib.figure import Figure\n\nFigure().subplots()\n")
    page, _ = execute(script, Path())
    assert "![The figure of the cell above](drawn-1.svg)" in page
    assert "<svg" in (tmp_path / "drawn-1.svg").read_text()


def test_a_missing_picture_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# First\n\n![A picture](missing.svg)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: small\ntheme: mkdocs\n")
    script = (PROJECT / "tools" / "docs.sh").read_text()
    [line] = [line for line in script.splitlines() if "mkdocs build" in line]
    words = shlex.split(line, comments=True)
    done = subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert b"missing.svg" in done.stderr


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("# %%\nx = 1\n\n# %%\nx / 0\n")
    here = Path.cwd()
    with pytest.raises(RuntimeError, match=r"broken\.py, cell 2: division by zero"):
        execute(script, tmp_path)
    assert Path.cwd() == here


def test_the_five_notebooks_are_scripts_of_cells() -> None:
    notebooks = sorted((PROJECT / "docs" / "notebooks").glob("*.py"))
    assert len(notebooks) >= 5
    for path in notebooks:
        text = path.read_text()
        assert text.startswith("# %% [markdown]\n# # ")
        compile(text, path.name, "exec")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: run tools/browser.sh")
def test_search_works_from_a_folder(tmp_path: Path) -> None:
    """A site of two pages with the settings of the real one, opened by file://."""
    playwright = pytest.importorskip("playwright.sync_api", reason="run tools/browser.sh")
    pages = tmp_path / "pages"
    (pages / "concepts").mkdir(parents=True)
    (pages / "index.md").write_text("# First\n\nNothing here.\n")
    (pages / "concepts" / "erasure.md").write_text("# Erasure\n\nVectors are purged.\n")
    shutil.copy(PROJECT / "docs" / "iframe-worker.js", pages)
    shutil.copy(PROJECT / "docs" / "style.css", pages)
    config = load_config(
        str(PROJECT / "mkdocs.yml"),
        docs_dir=str(pages),
        site_dir=str(tmp_path / "site"),
        nav=["index.md", "concepts/erasure.md"],
        plugins=[name for name in _plugins() if name != "mkdocstrings"],
    )
    build(config)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for start in ("index.html", "concepts/erasure.html"):
            page.goto((tmp_path / "site" / start).as_uri())
            page.keyboard.press("/")
            page.keyboard.type("purged")
            found = page.locator(".md-search-result__item").first
            found.wait_for(timeout=20_000)
            assert "Erasure" in found.inner_text()
            found.locator("a").first.click()
            assert page.url.partition("?")[0].endswith("/concepts/erasure.html")
        browser.close()
    assert asked
    assert all(url.startswith(("file://", "about:", "data:")) for url in asked)


def _plugins() -> list[str]:
    """The names of the site's plugins."""
    return list(load_config(str(PROJECT / "mkdocs.yml"), docs_dir=str(PROJECT / "docs")).plugins)
