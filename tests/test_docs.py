"""The Python of the documents: every block compiles, every name that it imports is there."""

import ast
import importlib
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from facever import EmbeddingSet
from facever.cli import main as cli
from facever.data.synthesize import synthesize
from facever.faces import template

PROJECT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("data/*.md")]
)
BLOCKS = [
    pytest.param(code, id=f"{path.relative_to(PROJECT)}-{number}")
    for path in DOCUMENTS
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("code", BLOCKS)
def test_what_a_block_imports_is_there(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), "block", "exec"), {})


@pytest.mark.parametrize(
    "path",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],  # it has former names too
    ids=lambda path: path.name,
)
def test_what_a_text_names_is_there(path: Path) -> None:
    """`facever.room.name` in backquotes is a module, or something of one."""
    for name in set(re.findall(r"`(facever(?:\.[A-Za-z_]+)+)(?:\(.*?\))?`", path.read_text())):
        module, parts = "facever", name.split(".")[1:]
        found = importlib.import_module(module)
        for part in parts:
            try:
                found = getattr(found, part)
            except AttributeError:
                found = importlib.import_module(f"{found.__name__}.{part}")


def _commands() -> list[list[str]]:
    """Return the words of every `facever ...` in a code block of the documents."""
    found = []
    for path in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            split = [shlex.split(line, comments=True) for line in lines]
            found += [words[1:] for words in split if words[:1] == ["facever"]]
    return found


def _parse(words: list[str]) -> None:
    """Let the command line take words, up to where the command would begin."""
    module = importlib.import_module(f"facever.cli.{cli.VERBS[words[0]][0]}")
    command, context = get_command(module.app), None
    name: str | None = words[0]
    rest = words[1:]
    while command is not None:
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "commands"):
            return
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)


def test_the_commands_of_the_documents_are_taken() -> None:
    commands = _commands()
    assert len(commands) > 60
    for words in commands:
        _parse(words)
    with pytest.raises(cli.UsageError, match="--near"):
        _parse(["gallery", "enroll", "GALLERY", "FACES", "--nearly", "0.5"])


def _block(document: str, word: str) -> str:
    text = (PROJECT / document).read_text()
    return next(one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in one)


def _faces() -> dict[str, np.ndarray]:
    """Eighty images of twenty people, every fourth a query."""
    draw = np.random.default_rng(0)
    people = np.arange(20).repeat(4)
    rows = draw.normal(size=(20, 8))[people] + 0.5 * draw.normal(size=(80, 8))
    return {
        "vectors": rows / np.linalg.norm(rows, axis=1, keepdims=True),
        "identity": people,
        "camera": np.arange(80) % 3,
        "subset": np.where(np.arange(80) % 4 == 0, "query", "gallery"),
    }


def test_a_detector_of_ones_own_runs() -> None:
    """The face that it finds lies on the template already: the crop is that part of the photo."""
    photo = np.random.default_rng(0).integers(0, 256, (200, 260, 3), np.uint8)
    points = template("arcface-112", 112) + np.array([60, 40])
    names: dict[str, object] = {
        "photo": photo,
        "find": lambda _: [
            ((60.0, 40.0, 112.0, 112.0), points, 0.9),
            ((0.0, 0.0, 20.0, 20.0), points, 0.9),
        ],
    }
    exec(compile(_block("docs/photos.md", "class MyDetector"), "docs/photos.md", "exec"), names)
    np.testing.assert_array_equal(names["crop"], photo[40:152, 60:172])
    assert names["columns"]["box"] == "60.0 40.0 112.0 112.0"  # type: ignore[index]


def test_measuring_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"faces": _faces()}
    code = _block("docs/evaluation.md", "result.operating_point(1e-3).save(")
    exec(compile(code, "docs/evaluation.md", "exec"), names)
    assert (tmp_path / "point.json").is_file()


def test_comparisons_and_scores_run() -> None:
    faces = EmbeddingSet.from_arrays(
        (table := _faces())["vectors"],
        table["identity"],
        **{name: table[name] for name in ("camera", "subset")},
    )
    names: dict[str, object] = {"first": faces, "second": faces}
    code = _block("docs/evaluation.md", "compare(first, second")
    exec(compile("import facever\n" + code, "docs/evaluation.md", "exec"), names)
    assert len(names["one"]) == 80
    i, j = np.triu_indices(80, 1)
    scores = (table["vectors"][i] * table["vectors"][j]).sum(axis=1)
    sides = table["identity"][i], table["identity"][j]
    names = {"scores": scores, "distances": 1 - scores, "first": sides[0], "second": sides[1]}
    names |= {"labels": sides[0] == sides[1], "pairs": np.stack(sides, axis=1)}
    code = _block("docs/evaluation.md", "calibrate_scores(")
    exec(compile("import facever\n" + code, "docs/evaluation.md", "exec"), names)


def test_reranking_runs() -> None:
    table = _faces()
    query = table["subset"] == "query"
    names = {"faces": table}
    for side, rows in (("queries", query), ("gallery", ~query)):
        names[side] = {name: values[rows] for name, values in table.items()}
    code = _block("docs/evaluation.md", "Reranking(")
    exec(compile(code, "docs/evaluation.md", "exec"), names)
    assert names["better"].to_dict()["queries"]


@pytest.mark.slow
def test_the_whole_way_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    synthesize(tmp_path / "FACES", 24, 4, size=64)
    for name, shot in zip("abc", sorted((tmp_path / "FACES").rglob("*.jpg")), strict=False):
        shutil.copy(shot, tmp_path / f"{name}.jpg")
    code = _block("docs/python.md", "facever.train(")
    names: dict[str, object] = {}
    exec(compile(code.replace("epochs=10", "epochs=2"), "docs/python.md", "exec"), names)
    assert names["vectors"].shape == (4, 256)
    assert names["enrolled"].images == 96
    assert names["found"][0].candidates[0].score > 0.999  # the very image is enrolled
    assert (tmp_path / "EMBEDDINGS" / "vectors.npy").is_file()


def test_soft_labels_run() -> None:
    names: dict[str, object] = {}
    exec(compile(_block("docs/training.md", "create_head("), "docs/training.md", "exec"), names)
    assert np.isfinite(float(names["output"].loss.detach()))
