"""Export of a trained model: the network, its card, and the measurement of what it costs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from facever.deployment.check_images import CheckImages, images_of
from facever.deployment.cost import Cost, check_batches, distances, speeds
from facever.deployment.exported import Exported
from facever.deployment.graph import LAYOUTS, PLACES, Layout, Place
from facever.deployment.origin import Origin, People, Precision, origin_of, quantised
from facever.deployment.program import require_packages
from facever.deployment.trials import Check, compared
from facever.embeddings.distances import SAME_SPACE
from facever.errors import ConfigError, ModelError, unknown
from facever.models.extractor import Extractor
from facever.models.onnx.engine import ENGINES, OnnxEngine
from facever.models.onnx.model import OnnxModel

PRECISIONS = ("fp32", "fp16", "int8")
PEOPLE = ("codes", "counts", "none")


def export_model(
    model: str | Path,
    out: str | Path,
    *,
    precision: Precision = "fp32",
    preprocessing: Place | None = None,
    layout: Layout | None = None,
    flip: bool = False,
    people: People = "codes",
    licence: str = "",
    check_images: str | Path | None = None,
    calibrate: str | Path | None = None,
    check: Check | None = None,
    data: Path | None = None,
    photos: bool | None = None,
    engine: OnnxEngine = "onnxruntime",
    overwrite: bool = False,
) -> Exported:
    """Write a trained model as an ONNX file that contains all that facever knows of it.

    The file is written only if all checks pass: several batch sizes, and for fp32 a cosine
    distance of at most 1e-5 to the original on every image.

    Args:
        model: A run folder, or a .safetensors file that facever wrote; for int8 an ONNX file with a
            card or a public model's name, too.
        out: The output file, NAME.onnx.
        precision: "fp32", "fp16", or "int8" (calibrated on images).
        preprocessing: "inside" (default): uint8 pixels in, unit vectors out; "outside": normalised
            numbers in, vectors of the model's own length out. Images are resized outside in both.
        layout: "NHWC" (default inside) or "NCHW" (default outside).
        flip: The file averages each image with its mirror image.
        people: Whom the model was trained on: "codes" keeps a code for each person, which
            evaluation compares with the names of its trials; "counts" keeps data sets and numbers
            of people; "none" nothing.
        licence: Licence of the model, for the card.
        check_images: Images on which vectors are compared; by default the run's development people,
            or generated faces.
        calibrate: Images for the calibration of int8.
        check: Labelled images for a comparison of error rates.
        data: Folder of named data sets.
        photos: Whether `check_images` and `calibrate` are photos or crops; by default what the
            model and the data say.
        engine: What computes the exported model in these measurements: "onnxruntime" or "openvino".
        overwrite: Replace a file at `out`.

    Raises:
        ConfigError: An unknown option, options that do not go together, or `out` exists.
        ModelError: There is no usable model, a package is missing, the model cannot be exported, or
            an fp32 file has other vectors.
        DataError: Data that cannot be read.
    """
    out = Path(out)
    for name, value, allowed in (
        ("precision", precision, PRECISIONS),
        ("preprocessing", preprocessing or PLACES[0], PLACES),
        ("layout", layout or LAYOUTS[0], LAYOUTS),
        ("people", people, PEOPLE),
        ("engine", engine, ENGINES),
    ):
        if value not in allowed:
            raise ConfigError(unknown(name, value, allowed))
    if (precision == "int8") != (calibrate is not None):
        raise ConfigError(
            "--precision int8 needs --calibrate DATA"
            if calibrate is None
            else "--calibrate is for --precision int8"
        )
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"{out}: the output file must be named NAME.onnx")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists: choose another path, or give --overwrite")
    require_packages()
    origin = origin_of(
        model,
        out,
        precision=precision,
        preprocessing=preprocessing,
        layout=layout,
        flip=flip,
        people=people,
        licence=licence,
    )
    if calibrate is not None:
        origin = quantised(origin, images_of(origin.model, model, calibrate, data, photos))
    shown = images_of(origin.model, model, check_images, data, photos)
    return _measured(origin, origin.exported(engine), out, shown, check, data)


def _measured(
    origin: Origin,
    made: OnnxModel,
    out: Path,
    shown: CheckImages,
    check: Check | None,
    data: Path | None,
) -> Exported:
    """Measure what an export costs, and write the file if it may be written."""
    model, card = origin.model, origin.card
    trained = isinstance(model, Extractor)  # an ONNX file may have a fixed batch size
    batches = check_batches(made) if trained else []
    apart = distances(model, made, shown.pixels)
    if card.precision == "fp32" and not apart.one_space:
        raise ModelError(
            f"the exported network differs from the model by a cosine distance of "
            f"{apart.largest:.1e} on {shown.said} (allowed for fp32: {SAME_SPACE:.0e}); nothing "
            "was written: report this with the model's configuration"
        )
    before, after = speeds((model, made), shown.pixels)
    engine = made.options["engine"]
    cost = Cost(apart, shown.said, f"{engine} {made.versions[engine]}", before, after, batches)
    trials = None if check is None else compared(model, made, check, data)
    points = _points(origin, made)
    said = (
        {} if check is None or trials is None else {"data": str(check.source), **trials.to_dict()}
    )
    record = replace(origin.record, cost=cost.to_dict(), check=said, operating_points=points)
    origin.write(out, record)
    return Exported(
        path=str(out),
        bytes=out.stat().st_size,
        fingerprint=made.fingerprint,
        original=model.fingerprint,
        original_engine=str(model.options.get("engine", "torch")),
        precision=card.precision,
        preprocessing=record.preprocessing,
        layout=card.layout,
        size=list(card.size),
        flip=card.flip,
        dimension=card.dimension,
        alignment=card.alignment,
        opset=record.opset,
        trained_on=card.trained_on,
        people=dict(record.people),
        operating_points=len(points),
        cost=cost,
        check=trials,
        quantization=dict(getattr(card, "quantization", {})),
    )


def _points(origin: Origin, made: OnnxModel) -> list[Mapping[str, Any]]:
    """Return the run's operating point for an fp32 file, whose scores are those of the run."""
    point = origin.model.operating_point
    if origin.card.precision != "fp32" or point is None:
        return []
    if point.fingerprint != origin.model.fingerprint:  # measured without flip, for example
        return []
    return [point.model_copy(update={"fingerprint": made.fingerprint}).model_dump(mode="json")]
