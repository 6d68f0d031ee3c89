"""The house stands: imports go down the floors, never up or sideways, and never in a ring.

All imports count: those inside functions and those that only type checkers read, too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import facever

PACKAGE = Path(facever.__file__).parent

# ARCHITECTURE: a room imports only from the floors below its own.
FLOORS = {
    "_version": 0,
    "errors": 0,
    "deprecated": 0,
    "core": 0,
    "config": 0,
    "plugins": 0,
    "render": 0,
    "embeddings": 1,
    "data": 1,
    "operating_point": 2,
    "catalogue": 2,
    "embedding_files": 2,
    "faces": 3,
    "heads": 4,
    "models": 4,
    "evaluation": 5,
    "evaluate": 6,
    "gallery": 6,
    "pair_verification": 6,
    "deployment": 7,
    "training": 7,
    "recognizer": 7,
    "report": 7,
    "client": 7,
    "studies": 8,
    "service": 8,
    "quickstart": 9,
    "doctor": 9,
    "workflows": 9,  # former names
    "cli": 10,
}
TOP = {"__init__", "__main__"}


VERBS = sorted(
    ".".join(["facever", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in (PACKAGE / "cli").rglob("*.py")
    if path.name != "__init__.py"
)
HEAVY = ("torch", "faiss", "sklearn", "scipy.stats", "matplotlib")


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(("facever", *parts)).removesuffix(".__init__")] = path
    return found


@cache
def imports() -> dict[str, dict[str, int]]:
    """Return the modules of the package that each module imports, and in which line."""
    return {name: _imports(name, path) for name, path in modules().items()}


def _imports(name: str, path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            asked = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            asked = [one if one in modules() else str(node.module) for one in inner]
        else:
            continue
        found.update({one: node.lineno for one in asked if one in modules() and one != name})
    return found


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def rings(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Return a ring for each set of names that reach one another."""
    found: list[str] = []
    state: dict[str, int] = {}

    def visit(name: str, way: list[str]) -> None:
        state[name] = 1
        for other in edges.get(name, ()):
            if state.get(other) == 1:
                found.append(" -> ".join([*way[way.index(other) :], other]))
            elif other not in state:
                visit(other, [*way, other])
        state[name] = 2

    for name in edges:
        if name not in state:
            visit(name, [name])
    return found


def test_every_room_has_a_floor() -> None:
    assert {room_of(module) for module in modules()} == set(FLOORS) | TOP


def test_imports_only_go_down() -> None:
    wrong = [
        f"{modules()[module].relative_to(PACKAGE)}:{line}: {own} (floor {FLOORS[own]}) imports "
        f"{other} (floor {FLOORS.get(other)})"
        for module, asked in imports().items()
        for name, line in asked.items()
        if (own := room_of(module)) not in TOP and (other := room_of(name)) != own
        if other in TOP or (FLOORS[other] >= FLOORS[own] and FLOORS[own] > 0)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_files_import_one_another() -> None:
    assert sum(map(len, imports().values())) > 500  # what follows passes on an empty package
    assert not rings(imports())


def test_no_folders_beside_each_other_import_one_another() -> None:
    edges: dict[str, dict[str, None]] = {}
    for module, asked in imports().items():
        for other in asked:
            first, second = folder_of(module), folder_of(other)
            shared = next(
                (k for k, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None
            )
            if shared is not None:
                one, two = (".".join(way[: shared + 1]) for way in (first, second))
                edges.setdefault(one, {})[two] = None
    assert not rings(edges)


def folder_of(module: str) -> list[str]:
    path = modules()[module].parent.relative_to(PACKAGE.parent)
    return list(path.parts)


NAMED_TWICE: set[str] = set()
"""Names that rooms under work still have twice."""


def test_no_public_class_name_is_there_twice() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(f"{module}:{node.lineno}")
    assert len(homes) > 300  # what follows passes on an empty package
    twice = {name: where for name, where in homes.items() if len(where) > 1}
    assert set(twice) <= NAMED_TWICE, twice


def test_rings_are_found() -> None:
    assert rings({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == ["a -> b -> c -> a"]
    assert rings({"a": ["b", "c"], "b": ["c"]}) == []


STAY_OUT = [
    ("facever", ("torch", "numpy", "pandas", "cv2", "faiss")),
    (", ".join(VERBS), ("torch", "numpy", "pandas", "cv2", "faiss", "pydantic")),
    ("facever.training.recipes", ("torch", "numpy", "pydantic")),
    ("facever.embeddings.embedding_set", ("torch", "cv2", "faiss", "scipy")),
    ("facever.operating_point", ("torch", "cv2", "faiss", "scipy")),
    ("facever.evaluation.one_to_one.verification", (*HEAVY, "cv2", "scipy.optimize")),
    ("facever.evaluate", (*HEAVY, "cv2", "scipy.optimize")),
    ("facever.gallery.gallery", (*HEAVY, "cv2", "scipy.optimize", "scipy.sparse")),
    ("facever.recognizer", ("torch", "faiss")),
    ("facever.models.images", ("torch", "faiss")),
    ("facever.models.extractor", ("torch._dynamo", "albumentations", "faiss", "sklearn")),
]
"""Modules, and what must not be imported with them nor with those above them."""


def test_heavy_libraries_stay_out() -> None:
    """One process imports all: what is not there after the last one, no one has imported."""
    code = f"""
import sys
for module, forbidden in {STAY_OUT!r}:
    exec("import " + module)
    for name in forbidden:
        if name in sys.modules:
            print(f"{{module}}: {{name}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
