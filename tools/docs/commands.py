"""The page of all commands: arguments, options and exit status, from the command line itself."""

import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from typer.main import get_command

from facever.cli.main import VERBS
from tools.docs.markdown import code, escaped, table

ANSWERS = {
    "doctor": "0: all tests passed. 1: a test failed. 2: wrong use or bad input.",
    "verify": "0: same person. 1: different. 2: no decision, wrong use or bad input.",
    "gallery verify": "0: all images show the person. 1: one of them does not. "
    "2: no decision, wrong use or bad input.",
    "gallery check": "0: nothing found. 1: damage found. 2: wrong use or bad input.",
    "gallery audit": "With `--person`: 0: removed. 1: not removed. 2: wrong use or bad input.",
}
"""Commands whose exit status is an answer, and what it says."""

_HEAD = """# Commands

Every command of `facever`, from `facever COMMAND --help`.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | the answer is "no": only for the commands that say so below |
| 2 | wrong use, bad input, or no decision possible: one line says what, where, and what to do |
| 130, 141 | interrupted (Ctrl-C); the program that reads the output ended |

A training that is stopped by a signal ends with 128 + the number of the signal, after a checkpoint.
"""


def page() -> str:
    """Return the page in Markdown."""
    lines = [_HEAD]
    for name, (module, help_line) in VERBS.items():
        command = get_command(import_module(f"facever.cli.{module}").app)
        lines += [f"## facever {name}", "", escaped(help_line), ""]
        for words, one in commands_in(name, command):
            lines += _section(words, one, words == name)
    return "\n".join(lines)


def commands_in(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Return each command of a group with its words, or the command itself."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield name, command
        return
    for word, one in inside.items():
        yield from commands_in(f"{name} {word}", one)


def parameters_of(words: str, command: Any) -> list[tuple[str, str]]:
    """Return the names of each argument and option, with its help."""
    context = command.make_context(words, [], resilient_parsing=True)
    records = [one.get_help_record(context) for one in command.get_params(context)]
    return [record for record in records if record is not None and record[0] != "--help"]


def _section(words: str, command: Any, is_verb: bool) -> list[str]:
    lines = [] if is_verb else [f"### facever {words}", ""]
    context = command.make_context(words, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines += ["```text", f"facever {words} {usage}", "```", ""]
    for paragraph in textwrap.dedent(command.help or "").split("\n\n"):
        lines += [escaped(paragraph), ""]
    rows = [(code(names), escaped(said)) for names, said in parameters_of(words, command)]
    lines += table(("argument or option", "meaning"), rows)
    if words in ANSWERS:
        lines += [f"Exit status: {ANSWERS[words]}", ""]
    return lines
