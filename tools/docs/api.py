"""The pages of public Python names; mkdocstrings fills them with signatures and docstrings."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tools.docs.json_keys import COMMANDS, records

ROOMS = {
    "facever": "The main names. Each is imported on first use: `import facever` is fast.",
    "facever.evaluate": "One function for each question: [Evaluation](../../evaluation.md).",
    "facever.heads": "Training criteria: [Heads](../../heads.md) says when to use which.",
    "facever.models": "Models that facever trains, and what every model has.",
    "facever.faces": "From photos to crops: [Photos](../../photos.md).",
    "facever.catalogue": "Public models: [Public models](../../models.md).",
    "facever.client": "A recognizer at a service elsewhere: [The service](../../service.md).",
    "facever.render.figures": "Drawings of results, as matplotlib axes or SVG.",
    "facever.studies.bakeoff": "Comparisons of heads over seeds: [Heads](../../heads.md).",
}
"""Packages whose `__all__` is public, with what they are for."""


def pages(documents: Path) -> dict[str, str]:
    """Return the text of each page by its name.

    Args:
        documents: The folder of the documents: what their examples import is public too.
    """
    made = {
        room: _page(room, said, [f"{room}.{name}" for name in import_module(room).__all__])
        for room, said in ROOMS.items()
    }
    results = sorted(
        f"{kind.__module__}.{kind.__name__}" for kind in records() if kind.__name__ in COMMANDS
    )
    made["results"] = _page("Results", "What evaluations, galleries and studies return.", results)
    said = "Names of single modules that the pages of this site import."
    made["modules"] = _page("Further modules", said, sorted(imported(documents)))
    return made


def imported(documents: Path) -> set[str]:
    """Return the names that the examples of the documents import, but those of `ROOMS`."""
    found = set()
    for path in documents.rglob("*.md"):
        for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
            found |= set(_imports(block))
    return {name for name in found if name.rpartition(".")[0] not in ROOMS}


def _imports(block: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facever"):
            for name in node.names:
                yield f"{node.module}.{name.name}"


def _page(title: str, said: str, names: list[str]) -> str:
    lines = [f"# {title}", "", said, ""]
    for name in names:
        if not name.endswith((".evaluate", ".__version__")):
            lines += [f"::: {name}", ""]
    return "\n".join(lines)
