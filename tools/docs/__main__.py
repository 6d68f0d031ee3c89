"""Gather the pages of the site: python -m tools.docs FOLDER

The documents are copied, the reference is made from the code, notebooks are executed, and links to
files outside of `docs/` become links to their pages.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from tools.docs import api, commands, configuration, json_keys, notebooks, rest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = PROJECT / "docs"
OTHERS = {
    PROJECT / "CONTRIBUTING.md": "project/contributing.md",
    PROJECT / "CHANGELOG.md": "project/changelog.md",
    PROJECT / "data" / "README.md": "project/data-sets.md",
}
"""Documents outside of `docs/`, and their pages."""

GENERATED = {
    "reference/commands.md": commands.page,
    "reference/configuration.md": configuration.page,
    "reference/json.md": json_keys.page,
    "reference/rest.md": rest.page,
}
"""Pages made from the code."""


def examples() -> list[Path]:
    """Return the documents and notebooks whose code imports public names."""
    notebooks = sorted((DOCUMENTS / "notebooks").glob("*.py"))
    return [PROJECT / "README.md", *sorted(DOCUMENTS.rglob("*.md")), *notebooks]


def sources() -> dict[Path, str]:
    """Return the page of each document, notebook and picture."""
    files = [path for path in sorted(DOCUMENTS.rglob("*")) if path.is_file()]
    found = {path: path.relative_to(DOCUMENTS).as_posix() for path in files}
    made = {path: f"{page[:-3]}.md" for path, page in found.items() if path.suffix == ".py"}
    return found | made | OTHERS


def with_links(text: str, source: Path, page: str, pages: dict[Path, str]) -> str:
    """Return a document whose links to other documents name their pages."""

    def renamed(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / link[1]))
        if target not in pages:
            return link[0]
        return f"]({os.path.relpath(pages[target], Path(page).parent)}{link[2] or ''})"

    return re.sub(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)", lambda link: renamed(link), text)


def gather(folder: Path, run_notebooks: bool = True) -> None:
    """Write all pages into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = sources()
    for source, page in pages.items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".py":
            if run_notebooks:
                notebooks.write(source, target.parent)
        elif source.suffix == ".md":
            target.write_text(with_links(source.read_text(), source, page, pages))
        else:
            shutil.copy(source, target)
    made = {page: make() for page, make in GENERATED.items()}
    made |= {f"reference/api/{name}.md": text for name, text in api.pages(examples()).items()}
    for page, text in made.items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
