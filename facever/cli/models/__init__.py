"""`facever models`: public models and added ONNX models."""

import typer

from facever.cli.models.add import add
from facever.cli.models.catalogue import get, list_, show

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show and fetch public models; add other models.",
)
app.command("list")(list_)
app.command("show")(show)
app.command("get")(get)
app.command("add")(add)
