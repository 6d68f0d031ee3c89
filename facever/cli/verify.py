"""`facever verify`: compare two images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.options import AsJson, Device, Engine, Flip, Precision
from facever.cli.photo_options import Detector, Face, MinQuality, Photos, Rotations, photos_of

if TYPE_CHECKING:
    from facever.models.extraction import LoadedModel
    from facever.models.extraction import Precision as PrecisionName
    from facever.models.loading import Engine as EngineName
    from facever.operating_point import OperatingPoint

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def verify(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder, a .safetensors or .onnx file, a public model's name, or your own "
            "model's (docs/plug-ins.md)."
        ),
    ],
    image_a: Annotated[Path, typer.Argument(help="An image.")],
    image_b: Annotated[Path, typer.Argument(help="Another image.")],
    operating_point: Annotated[
        Path | None,
        typer.Option(
            help="Operating point file to decide by (default: the run's operating_point.json)."
        ),
    ] = None,
    far: Annotated[
        float | None,
        typer.Option(
            help="Decide by the operating point that a public model has for this FAR, such as "
            "1e-3 (default: its smallest FAR).",
            show_default=False,
        ),
    ] = None,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    flip: Flip = False,
    engine: Engine = "auto",
    precision: Precision = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Decide whether two images show the same person.

    A photo without a face is an error, not a "no".

    Exit status: 0 the same person, 1 different, 2 no decision or an error.
    """
    import json

    from facever.core.console import say
    from facever.errors import ConfigError
    from facever.models.loading import load_model
    from facever.operating_point import OperatingPoint
    from facever.pair_verification import verify_pair

    if operating_point is not None and far is not None:
        raise ConfigError("give either --operating-point or --far, not both")
    given = OperatingPoint.load(operating_point) if operating_point else None
    loaded = load_model(
        model,
        device=device,
        flip=flip,
        precision=cast("PrecisionName | None", precision),
        engine=cast("EngineName", engine),
    )
    if far is not None:
        given = _point_at(loaded, far)
    cut = photos_of(loaded, photos, face, min_quality, rotations, detector)
    result = verify_pair(loaded, image_a, image_b, given, cut)
    point = result.operating_point
    if as_json:
        print(json.dumps(result.to_dict(), allow_nan=False))
    else:
        print(f"score:    {result.score:.4f} ({result.similarity})")
        if point is not None:
            print(f"decision: {'same' if result.same else 'different'} person")
            print(f"by:       {point.summary}")
    if result.note:
        say(result.note)
    raise typer.Exit(2 if result.same is None else int(not result.same))


def _point_at(model: "LoadedModel", far: float) -> "OperatingPoint":
    """Return the operating point of a model for a FAR.

    Raises:
        ConfigError: The model has none for this FAR; the message lists those it has.
    """
    from facever.errors import ConfigError

    own = model.operating_point
    points = getattr(model, "operating_points", [] if own is None else [own])
    for point in points:
        if abs(point.target_rate - far) <= 1e-9 * far:
            return point  # type: ignore[no-any-return]
    there = ", ".join(f"{point.target_rate:g}" for point in points) or "none"
    raise ConfigError(
        f"--far {far:g}: the model has no operating point for it (there are: {there}): give "
        "--operating-point FILE"
    )
