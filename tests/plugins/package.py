"""The package of docs/plug-ins.md, written and installed."""

import re
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
DOCUMENT = (PROJECT / "docs" / "plug-ins.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def write_package(folder: Path) -> Path:
    """Write the package of the document, without its entry points; return the folder."""
    (folder / "mypackage").mkdir(parents=True)
    (folder / "mypackage" / "__init__.py").touch()
    for code in blocks("python"):
        (folder / code.partition("\n")[0].removeprefix("# ")).write_text(code)
    return folder


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """Write what an installation writes: a distribution with entry points."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, entries in points.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines))
