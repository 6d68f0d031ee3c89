"""What the commands of `facever evaluate` share: their options and how results are printed."""

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from facever.cli.several import is_number, several

MANY_FARS = several("--far", is_number)

Embeddings = Annotated[Path, typer.Argument(help="A folder made by facever embed.")]
Fars = Annotated[
    Optional[list[float]],  # noqa: UP045 - typer reads the annotation
    typer.Option(help="False accept rates, one or several. [default: 1e-2 1e-3 1e-4]"),
]
Metric = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="cosine, euclidean or dot. [default: the model's own]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def show(result: Any, as_json: bool) -> None:
    """Print a result on standard output, and its warnings on standard error."""
    from facever.console import warn

    for warning in getattr(result, "warnings", ()):
        warn(warning)
    print(json.dumps(result.to_dict(), allow_nan=False) if as_json else result.to_text())
