"""`facever export`: write a trained model as an ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.options import AsJson, DataFolder, Fars
from facever.cli.photo_options import Photos

if TYPE_CHECKING:
    from facever.deployment.graph import Layout, Place
    from facever.deployment.origin import People, Precision
    from facever.models.onnx.engine import OnnxEngine

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder or a .safetensors file; for int8 an ONNX model, too.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output file NAME.onnx.")],
    precision: Annotated[
        str, typer.Option(help="Number format of the file: fp32, fp16 or int8.")
    ] = "fp32",
    preprocessing: Annotated[
        str | None,
        typer.Option(
            help="inside: uint8 pixels in, unit vectors out. outside: normalised float32 in, "
            "vectors of the model's own length out. [default: inside]",
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="Axes of the input: NHWC or NCHW. [default: NHWC inside, NCHW outside]"),
    ] = None,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip",
            help="The file averages each embedding with that of the mirrored image. Takes twice "
            "the time.",
        ),
    ] = False,
    people: Annotated[
        str,
        typer.Option(
            help="What the file says of the people of the training: codes (evaluation still finds "
            "overlaps; names cannot be read), counts or none."
        ),
    ] = "codes",
    licence: Annotated[str, typer.Option(help="Licence of the model, for its card.")] = "",
    calibrate: Annotated[
        str | None, typer.Option(help="With int8: images for the calibration.", metavar="DATA")
    ] = None,
    check_images: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Images on which the vectors of both models are compared. [default: the run's "
            "development people, else generated faces]",
        ),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Labelled images, or an embedding set of them, on which the error rates of both "
            "models are compared.",
        ),
    ] = None,
    far: Fars = None,
    protocol: Annotated[
        str | None, typer.Option(help="With --check: the protocol, such as lfw-view2.")
    ] = None,
    photos: Photos = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Engine that computes the exported model in the measurements: onnxruntime (or "
            "onnx) or openvino. The file is the same."
        ),
    ] = "onnxruntime",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file at --out.")
    ] = False,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as an ONNX file with its card, and measure what the export costs.

    An fp32 file must have the vectors of the model (cosine distance at most 1e-5), else nothing is
    written. fp16 and int8 are other embedding spaces.
    """
    from facever.cli.evaluate.shared import show
    from facever.deployment.export import export_model
    from facever.deployment.trials import Check
    from facever.errors import ConfigError

    if check is None and (far or protocol):
        raise ConfigError("--far and --protocol need --check DATA")
    made = export_model(
        model,
        out,
        precision=cast("Precision", precision),
        preprocessing=cast("Place | None", preprocessing),
        layout=cast("Layout | None", layout),
        flip=flip,
        people=cast("People", people),
        licence=licence,
        check_images=check_images,
        calibrate=calibrate,
        check=None if check is None else Check(check, far or (), protocol, photos),
        data=data,
        photos=photos,
        engine=cast("OnnxEngine", "onnxruntime" if engine == "onnx" else engine),
        overwrite=overwrite,
    )
    show(made, as_json)
