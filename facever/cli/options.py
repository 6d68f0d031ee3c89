"""Options shared by several verbs."""

import math
from pathlib import Path
from typing import Annotated

import typer

from facever.evaluation.defaults import DEFAULT_FARS

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of named data sets and relative paths (default: $FACEVER_DATA, ./data)."
    ),
]
LAYOUTS = (
    *("table", "lfw", "cfp", "calfw", "cplfw", "agedb", "tinyface", "dukemtmc", "cuhk03"),
    *("market1501", "msmt17", "veri776", "ijb", "idx", "webdataset", "insightface"),
    *("verification_bin", "images", "folder"),
)
"""Names of facever's readers, for help texts (importing the readers takes long)."""

Layout = Annotated[
    str,
    typer.Option(
        help=f"Layout of the data: auto, {', '.join(LAYOUTS)}, or 'pattern:REGEX' with groups "
        "identity, camera and so on for other file names (docs/formats.md)."
    ),
]
Device = Annotated[str, typer.Option(help="Device that runs the model: auto, cpu, cuda or cuda:N.")]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average each embedding with that of the mirrored image. Takes twice the time.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="fp32 or bf16. bf16 is faster; its vectors differ slightly. An ONNX model has the "
        "precision of its file; openvino also has bf16. [default: fp32, or that of the file]",
        show_default=False,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="Engine that runs the model: auto, torch, onnxruntime or openvino. auto: torch for a "
        "run, onnxruntime for an ONNX model. Vectors of two engines are not compared."
    ),
]
Fars = Annotated[
    list[float] | None,
    typer.Option(
        help="False accept rates, one or several. "
        f"[default: {' '.join(f'1e-{round(-math.log10(far))}' for far in DEFAULT_FARS)}]"
    ),
]
Picture = Annotated[
    Path, typer.Option(help="Output file: an .html page, or a .png, .svg or .pdf picture.")
]
HeadsConfig = Annotated[
    str, typer.Argument(help="A training configuration (YAML file); its heads are replaced.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Changes to the configuration: key=value, for example epochs=5."),
]
