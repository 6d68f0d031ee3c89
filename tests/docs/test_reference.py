"""The reference of the site has every command, key, name and route."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

import facever
from facever.cli.main import VERBS
from facever.heads import HEADS
from facever.service.app import openapi_document
from facever.service.limits import Limits
from facever.training.config import TrainConfig
from tools.docs import api, commands, configuration, json_keys, rest
from tools.docs.__main__ import examples
from tools.docs.docstrings import attributes_of, text_of
from tools.docs.markdown import code, escaped, table

PACKAGE = Path(facever.__file__).parent


def test_every_command_and_option() -> None:
    page, options = commands.page(), 0
    for verb, (module, _) in VERBS.items():
        command = get_command(importlib.import_module(f"facever.cli.{module}").app)
        for words, one in commands.commands_in(verb, command):
            section = page.split(f"facever {words} [OPTIONS]")[1].split("\n#")[0]
            for parameter in one.params:
                names = parameter.opts if parameter.param_type_name == "option" else []
                for name in names:
                    assert re.search(rf"{re.escape(name)}\b", section), f"{words} {name}"
                    options += 1
    assert options > 200


def test_commands_whose_status_is_an_answer() -> None:
    """Those that end by `typer.Exit` with a status of their own are those of the page."""
    found = set()
    for path in (PACKAGE / "cli").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                exits = [
                    ast.unparse(node.exc)
                    for node in ast.walk(function)
                    if isinstance(node, ast.Raise) and node.exc is not None
                ]
                if any("typer.Exit(" in one and "exit_status" not in one for one in exits):
                    room = "gallery " if "gallery" in path.parts else ""
                    found.add(f"{room}{function.name}")
    assert found == set(commands.ANSWERS)


def _keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        yield f"{above}{name}", field
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _keys(kind, f"{above}{name}.")


def _row(page: str, key: str) -> list[str]:
    found = re.search(rf"^\| `{re.escape(key)}` \|(.*)\|$", page, re.MULTILINE)
    assert found, f"no row of {key}"
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", found[1])]


def test_every_configuration_key() -> None:
    page = configuration.page()
    keys = dict(_keys(TrainConfig))
    assert len(keys) > 100
    for key, field in keys.items():
        if key in TrainConfig.model_fields and f"\n## {key}\n" in page:
            continue  # a section of its own
        takes, default, meaning = _row(page, key)
        assert takes, key
        assert meaning, f"{key} has no description: Field(..., description=...)"
        if field.is_required():
            assert default == "required", key


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_key_of_a_head(name: str) -> None:
    config = HEADS[name].Config
    page = configuration.page()
    heading = next(line for line in page.splitlines() if line.startswith(f"### {name}"))
    section = page.split(f"{heading}\n", 1)[1].split("\n## ")[0].split("\n### ")[0]
    shared = page.split("### Every head\n", 1)[1].split("\n### ")[0]
    for key in set(config.model_fields) - {"name"}:
        assert all(_row(section if f"| `{key}` |" in section else shared, key)[::2]), key


def test_every_limit() -> None:
    page = configuration.page().split("## Limits of the service")[1]
    for name, value in Limits().model_dump().items():
        _, default, meaning = _row(page, name)
        assert float(default.strip("`")) == value
        assert meaning, name


def test_every_json_key_has_a_meaning() -> None:
    page = json_keys.page()
    kinds = json_keys.records()
    assert len(kinds) > 40
    for kind in kinds:
        prose = " ".join(text_of(kind))
        assert f"\n## {kind.__name__}\n" in page
        for key, _, meaning in json_keys.keys_of(kind):
            assert meaning or f"`{key}`" in prose, (
                f"{kind.__name__}: JSON key '{key}' has no meaning: name it in the section "
                f"Attributes of the docstring in {kind.__module__}"
            )


def test_commands_that_print_a_result_name_it() -> None:
    names = {kind.__name__ for kind in json_keys.records()}
    assert set(json_keys.COMMANDS) <= names
    words = set()
    for verb, (module, _) in VERBS.items():
        command = get_command(importlib.import_module(f"facever.cli.{module}").app)
        words |= {found for found, _ in commands.commands_in(verb, command)}
    for said in json_keys.COMMANDS.values():
        for one in said.split(", "):
            if not one.startswith("of "):
                assert one.partition(" --")[0] in words, one


def test_every_public_name() -> None:
    pages = api.pages(examples())
    for room in api.ROOMS:
        for name in set(importlib.import_module(room).__all__) - {"__version__", "evaluate"}:
            assert f"::: {room}.{name}\n" in pages[room]
    rooms = {
        ".".join(("facever", *path.relative_to(PACKAGE).parent.parts))
        for path in PACKAGE.rglob("__init__.py")
        if re.search(r"^__all__", path.read_text(), re.MULTILINE) and "cli" not in path.parts
    }
    assert rooms <= set(api.ROOMS), "a package with __all__ has no page: tools/docs/api.py, ROOMS"
    assert "::: facever.data.split.split\n" in pages["modules"]  # an example imports it


def test_every_route() -> None:
    page = rest.page()
    for path, methods in openapi_document()["paths"].items():
        for method, route in methods.items():
            section = page.split(f"## {method.upper()} {path}\n")[1].split("\n## ")[0]
            for parameter in route.get("parameters", ()):
                assert f"`{parameter['name']}`" in section
            for status in route["responses"]:
                assert status in section


def test_docstrings_are_read() -> None:
    class Known:
        """Summary.

        More of it.

        Attributes:
            first, second: Two numbers,
                on two lines.
            third: Another.

        Raises:
            ValueError: never: at all.
        """

    assert attributes_of(Known) == {
        "first": "Two numbers, on two lines.",
        "second": "Two numbers, on two lines.",
        "third": "Another.",
    }
    assert text_of(Known) == ["Summary.", "More of it."]


def test_texts_in_cells() -> None:
    assert escaped("a|b_c <x> `d|e` docs/heads.md") == (
        r"a\|b\_c &lt;x&gt; `d|e` [heads](../heads.md)"
    )
    assert code("a | b") == "`a | b`"
    rows = table(("one", "two"), [(code("a | b"), "c")])
    markdown = pytest.importorskip("markdown", reason="pip install 'facever[docs]'").markdown
    assert "<td><code>a | b</code></td>\n<td>c</td>" in markdown(
        "\n".join(rows), extensions=["tables"]
    )
    assert table(("one", "two"), []) == []
    assert table(("one", "two"), [("1", "2")])[0] == "| one | two |"
