"""Every help ends with examples, and every example is taken by the command line."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from typer.main import get_command

from facever.cli.examples import EXAMPLES, add_examples
from facever.cli.main import VERBS


def commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
    for name, one in (inner or {}).items():
        yield from commands(f"{words} {name}", one)


def every_command() -> dict[str, Any]:
    found = {}
    for verb, (module, _) in VERBS.items():
        command = get_command(import_module(f"facever.cli.{module}").app)
        add_examples(command, verb)
        found.update(commands(verb, command))
    return found


COMMANDS = every_command()


def test_every_command_has_examples() -> None:
    assert set(COMMANDS) == set(EXAMPLES), "add the command's examples to cli/examples.py"


@pytest.mark.parametrize("words", EXAMPLES)
def test_an_example_is_taken(words: str) -> None:
    for example in EXAMPLES[words]:
        typed = shlex.split(example)
        start = ["facever", *words.split()]
        assert typed[: len(start)] == start
        COMMANDS[words].make_context(words, typed[len(start) :])
    assert COMMANDS[words].epilog.splitlines()[2:] == [f"  {one}" for one in EXAMPLES[words]]


def test_the_help_shows_them(facever) -> None:
    _, out, _ = facever("gallery", "merge", "--help")
    assert out.rstrip().endswith(EXAMPLES["gallery merge"][0])


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("facever ", "gallery"),
        ("facever ga", "gallery"),
        ("facever gallery se", "search"),
        ("facever train --dry", "--dry-run"),
    ],
)
def test_the_shell_completes_verbs_and_options(typed: str, offered: str) -> None:
    words = typed.split(" ")
    environment = {
        **os.environ,
        "_FACEVER_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; sys.argv = ['facever']; from facever.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert offered in done.stdout.split(), done.stderr
    assert all(one.startswith(words[-1]) for one in done.stdout.split())
