"""Notebooks: scripts of cells, executed and written as pages and as .ipynb files."""

import ast
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode
from nbformat.v4 import new_output


def execute(script: Path, pictures: Path) -> tuple[str, NotebookNode]:
    """Execute a notebook in an empty folder.

    Args:
        script: A Python script of cells (`# %%`).
        pictures: The folder for drawings, which the page names relative to its own folder.

    Returns:
        The page in Markdown, and the notebook with its outputs.

    Raises:
        RuntimeError: A cell fails; the message has the notebook and the cell.
    """
    notebook = jupytext.read(script)
    pictures = pictures.absolute()  # the cells run in another folder
    names: dict[str, Any] = {"__name__": "__main__"}
    lines: list[str] = []
    with _empty_folder():
        for number, cell in enumerate(notebook.cells, 1):
            if cell.cell_type == "markdown":
                lines += [cell.source, ""]
                continue
            try:
                said, shown = _run(cell.source, names)
            except Exception as error:
                raise RuntimeError(f"{script.name}, cell {number}: {error}") from error
            lines += ["```python", cell.source, "```", ""]
            cell.outputs = []
            if said:
                cell.outputs.append(new_output("stream", name="stdout", text=said))
                lines += ["```text", said.rstrip(), "```", ""]
            if shown is not None:
                data = _displayed(shown)
                cell.outputs.append(new_output("execute_result", data, execution_count=number))
                lines += [*_page_lines(data, pictures / f"{script.stem}-{number}.svg"), ""]
    lines += [f"[Download this notebook]({script.stem}.ipynb)", ""]
    return "\n".join(lines), notebook


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)


def _run(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell; return what it prints, and the value of a last line that is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    shown = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return printed.getvalue(), shown


def _displayed(value: Any) -> dict[str, str]:
    """Return a value as Jupyter displays it, by media type."""
    if type(value).__module__.startswith("matplotlib"):
        import matplotlib.pyplot as plt

        drawn = io.StringIO()
        value.figure.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(value.figure)
        return {"image/svg+xml": drawn.getvalue(), "text/plain": repr(value)}
    data = {"text/plain": repr(value)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_()
    return data


def _page_lines(data: dict[str, str], picture: Path) -> list[str]:
    if "image/svg+xml" in data:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(data["image/svg+xml"])
        return [f"![The figure of the cell above]({picture.name})"]
    if "text/html" in data:
        return ['<div class="output" markdown="0">', data["text/html"], "</div>"]
    return ["```text", data["text/plain"], "```"]


def write(script: Path, folder: Path) -> None:
    """Execute a notebook and write its page, its drawings and its .ipynb into a folder."""
    sys.stderr.write(f"notebook {script.stem}\n")
    page, notebook = execute(script, folder)
    (folder / f"{script.stem}.md").write_text(page)
    jupytext.write(notebook, folder / f"{script.stem}.ipynb")
