"""The house stands: imports go down the floors, never up or sideways."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import facever

PACKAGE = Path(facever.__file__).parent

# ARCHITECTURE: a room imports only from the floors below its own.
FLOORS = {
    "_version": 0,
    "errors": 0,
    "files": 0,
    "seeding": 0,
    "text": 0,
    "deprecated": 0,
    "console": 0,
    "processes": 0,
    "config": 0,
    "render": 0,
    "vectors": 1,
    "data": 1,
    "heads": 2,
    "models": 2,
    "evaluation": 2,
    "evaluate": 3,
    "adversarial": 3,
    "embedding": 3,
    "gallery": 3,
    "recognizer": 4,
    "training": 4,
    "report": 4,
    "workflows": 5,
    "cli": 6,
}
TOP = {"__init__", "__main__"}

VERBS = sorted(
    ".".join(["facever", *path.relative_to(PACKAGE).with_suffix("").parts])
    for path in (PACKAGE / "cli").rglob("*.py")
    if path.name != "__init__.py"
)
HEAVY = ("torch", "faiss", "sklearn", "scipy.stats", "matplotlib")


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "facever" and len(parts) > 1 else None


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append((node.lineno, node.module or ""))
            if node.module == "facever":
                found += [(node.lineno, f"facever.{alias.name}") for alias in node.names]
    return found


def arrows() -> list[tuple[Path, int, str, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for line, module in imports(path):
            other = room_of(module)
            if other in FLOORS and other != own:
                found.append((path, line, own, other))
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")
    }
    assert rooms <= set(FLOORS) | TOP


def test_imports_only_go_down() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {own} (floor {FLOORS[own]}) imports {other} "
        f"(floor {FLOORS[other]})"
        for path, line, own, other in arrows()
        if own not in TOP and FLOORS[other] >= FLOORS[own] > 0
    ]
    assert not wrong, "\n".join(wrong)


def test_the_house_is_not_empty() -> None:
    assert len(arrows()) > 50  # the two tests above would pass on an empty package


def test_the_ground_floor_has_no_cycles() -> None:
    edges: dict[str, set[str]] = {}
    for _, _, own, other in arrows():
        if FLOORS.get(own) == 0:
            edges.setdefault(own, set()).add(other)
    done: set[str] = set()

    def visit(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, " -> ".join([*way, room])
        if room not in done:
            for other in edges.get(room, ()):
                visit(other, (*way, room))
            done.add(room)

    for room in list(edges):
        visit(room, ())


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("facever", ("torch", "numpy", "pandas", "cv2", "faiss")),
        (", ".join(VERBS), ("torch", "numpy", "pandas", "cv2", "faiss", "pydantic")),
        ("facever.training.recipes", ("torch", "numpy", "pydantic")),
        ("facever.embeddings.embedding_set", ("torch", "cv2", "faiss", "scipy")),
        ("facever.evaluation.operating_point", ("torch", "cv2", "faiss", "scipy")),
        ("facever.evaluation.one_to_one.verification", (*HEAVY, "cv2", "scipy.optimize")),
        ("facever.evaluate", (*HEAVY, "cv2", "scipy.optimize")),
        ("facever.gallery.gallery", (*HEAVY, "cv2", "scipy.optimize", "scipy.sparse")),
        ("facever.models.extractor", ("torch._dynamo", "albumentations", "faiss", "sklearn")),
        ("facever.recognizer", ("torch", "faiss")),
        ("facever.models.images", ("torch", "faiss")),
    ],
)
def test_heavy_libraries_stay_out(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*[m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
