"""The command `facever`: its verbs and how it reports errors.

A verb's module is imported when the verb is used, so that `facever --help` answers at once.
"""

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from facever.cli.examples import add_examples
from facever.core.extras import named_extras
from facever.core.processes import EndedElsewhere, leave, tells
from facever.errors import FaceverError, nearest, plain

# typer carries its own copy of click; this is the public way to its errors of wrong use.
UsageError: Any = typer.BadParameter.__base__

_COMPLETING = "_FACEVER_COMPLETE"  # set by the scripts of --install-completion

# verb -> (module, one line of help). A module has `app`, a typer.Typer.
VERBS: dict[str, tuple[str, str]] = {
    "quickstart": ("quickstart", "Train, embed, enroll, search and evaluate on a small data set."),
    "data": ("data", "Inspect, align, split, shard and synthesize data sets."),
    "train": ("train", "Train an identity model from a configuration."),
    "bakeoff": ("bakeoff", "Compare heads: same data and budget, several seeds, intervals."),
    "embed": ("embed", "Turn images into a folder of embeddings."),
    "embeddings": ("embeddings", "Import embeddings that other tools computed."),
    "evaluate": ("evaluate", "Measure verification, retrieval and identification."),
    "gallery": ("gallery", "Create, fill and search a gallery of people."),
    "serve": ("serve", "Serve a gallery and its model over HTTP (REST)."),
    "models": ("models", "List and fetch public models; add other models."),
    "export": ("export", "Write a trained model as an ONNX file; measure what it costs."),
    "verify": ("verify", "Decide whether two images show the same person."),
    "figure": ("figure", "Draw features, prototypes and heads."),
    "report": ("report", "Write a self-contained HTML report."),
    "card": ("card", "Write the model card of a run."),
    "heads": ("heads", "List the heads with their parameters and papers."),
    "config": ("config", "Print or explain the keys of a training's configuration."),
    "doctor": ("doctor", "Print versions and engines for a bug report; test them."),
    "recipes": ("recipes", "List the configurations that come with the package."),
}


class _Verbs(TyperGroup):
    """A group whose commands are imported when used."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: object, cmd_name: str):  # type: ignore[no-untyped-def] # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module, help_line = VERBS[cmd_name]
        if _only_lists_verbs():
            return typer.core.TyperCommand(cmd_name, help=help_line)
        command = get_command(import_module(f"facever.cli.{module}").app)
        add_examples(command, cmd_name)
        command.name = cmd_name
        command.short_help = help_line
        return command

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            fail(f"unknown command '{args[0]}'{nearest(args[0], VERBS)} (see facever --help)")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Face verification and re-identification: train models, keep galleries, evaluate.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from facever._version import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; user errors become one line and exit status 2."""
    try:
        _run()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _run() -> None:
    try:
        with named_extras():
            sys.exit(app(standalone_mode=False))
    except UsageError as error:
        # Without arguments: the help. Wrong use: one line.
        asked = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        message = error.format_message()
        fail(" ".join(message.split()) + asked) if "\n" not in message else _help(message)
    except typer.Abort:
        sys.exit(130)
    except FaceverError as error:
        fail(str(error))
    except EndedElsewhere as ended:
        sys.exit(ended.exit_status)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # for example a full disk or missing write permission
        where = f" ({error.filename})" if error.filename else ""
        fail(f"{error.strerror or error}{where}")


def _help(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(2)


def fail(message: str) -> None:
    """Print one error line (once for several processes) and exit with status 2."""
    if tells(message):
        print(f"error: {plain(message)}", file=sys.stderr)
    sys.exit(2)


def _only_lists_verbs() -> bool:
    typed = sys.argv[1:]
    if _COMPLETING in os.environ:  # a shell asks what can follow; bash gives the words otherwise
        line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
        typed = line.split()[1:]
    return all(word.startswith("-") for word in typed)
