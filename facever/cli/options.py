"""Options that several verbs share."""

import math
from pathlib import Path
from typing import Annotated

import typer

from facever.evaluation.defaults import DEFAULT_FARS

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DataFolder = Annotated[
    Path | None,
    typer.Option(help="Where named data sets are (default: $FACEVER_DATA, ./data)."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the mirror image's embedding; half the speed.")
]
Precision = Annotated[str, typer.Option(help="fp32, or bf16: faster, other vectors.")]
Fars = Annotated[
    list[float] | None,
    typer.Option(
        help="False accept rates, one or several. "
        f"[default: {' '.join(f'1e-{round(-math.log10(far))}' for far in DEFAULT_FARS)}]"
    ),
]
Picture = Annotated[Path, typer.Option(help="The picture or page to write.")]
HeadsConfig = Annotated[str, typer.Argument(help="A training's YAML file; its heads are replaced.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, for example epochs=5")]
