"""The pages of public Python names; mkdocstrings fills them with signatures and docstrings."""

import ast
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from facever import errors
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


def pages(examples: Sequence[Path]) -> dict[str, str]:
    """Return the text of each page by its name.

    Args:
        examples: Documents and notebooks: what they import is public too.
    """
    made = {
        room: _page(room, said, [f"{room}.{name}" for name in import_module(room).__all__])
        for room, said in ROOMS.items()
    }
    kinds = [kind for kind in records() if kind.__name__ in COMMANDS]
    results = sorted(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
    made["results"] = _page("Results", "What evaluations, galleries and studies return.", results)
    said = "Errors, and names of single modules that the pages of this site import."
    made["modules"] = _page("Further modules", said, sorted(_errors() | imported(examples)))
    return made


def imported(examples: Sequence[Path]) -> set[str]:
    """Return the names that examples import from facever, but those of `ROOMS`."""
    found = set()
    for path in examples:
        text = path.read_text(encoding="utf-8")
        is_code = path.suffix == ".py"
        for block in [text] if is_code else re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            found |= set(_imports(block))
    return {name for name in found if name.rpartition(".")[0] not in ROOMS}


def _errors() -> set[str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    own = [kind.__name__ for kind in kinds if kind.__module__ == errors.__name__]
    return {f"{errors.__name__}.{name}" for name in own if not name.startswith("_")}


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
